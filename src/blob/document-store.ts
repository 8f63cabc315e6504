import type { Digest } from '../util/digest.js'

/** Small immutable documents (manifests, configs) by digest. Verified on load; a miss is never an error. */
export interface DocumentStore {
  load(digest: Digest): Promise<Buffer | undefined>
  save(digest: Digest, bytes: Buffer): Promise<void>
}
