import type { Digest } from '../util/digest.js'

/** What an image names a blob with (OCI image-spec descriptor.md). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes as stored (compressed). */
  readonly size: number
  readonly annotations: Readonly<Record<string, string>>
}
