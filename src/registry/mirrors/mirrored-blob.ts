import { chunkBytes, chunkCount } from '../../blob/chunk-cache.js'
import { clampLength, type BlobSource, type ReadIntoOptions } from '../../blob/source.js'
import { throwIfAborted, type ReadOptions } from '../../util/abort.js'
import type { Digest } from '../../util/digest.js'
import { hasCode, RegistryFsError } from '../../util/errors.js'
import type { MirrorHealth } from './mirror-health.js'
import { isUnreachable, sitesInOrder } from './mirrored-requests.js'
import type { Site } from './site.js'

/** A mirror that fetches by itself may have a blob later. */
const missingMs = 5 * 60_000

interface Supplier {
  readonly site: Site
  readonly blob: BlobSource
  /** In `#suppliers`; 0 for the primary. */
  readonly bit: number
  missingUntil: number
  isDistrusted: boolean
}

/**
 * A blob that several places have: the mirrors in order, the primary last. Where one breaks off the next goes on at that
 * byte. It remembers which mirrors have sent something of each chunk, so that the ones behind wrong bytes are known.
 */
export class MirroredBlob implements BlobSource {
  readonly size: number
  readonly #suppliersBySite: readonly Supplier[]
  readonly #health: MirrorHealth
  readonly #digest: Digest
  /** For each chunk, a bit for each mirror. */
  readonly #senders: Uint8Array

  constructor(
    descriptor: { readonly digest: Digest; readonly size: number },
    sites: readonly Site[],
    open: (site: Site) => BlobSource,
    health: MirrorHealth,
  ) {
    this.size = descriptor.size
    this.#digest = descriptor.digest
    this.#health = health
    this.#senders = new Uint8Array(chunkCount(descriptor.size))
    let mirrors = 0
    this.#suppliersBySite = sites.map((site) => ({
      site,
      blob: open(site),
      bit: site.isMirror ? 1 << mirrors++ : 0,
      missingUntil: 0,
      isDistrusted: false,
    }))
  }

  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(clampLength(this.size, offset, length))
    await this.readInto(offset, target, options)
    return target
  }

  async readInto(offset: number, target: Buffer, options: ReadIntoOptions = {}): Promise<void> {
    let filled = 0
    let failure: unknown
    let ofPrimary: unknown
    for (const supplier of this.#order()) {
      const from = filled
      try {
        await supplier.blob.readInto(offset + from, target.subarray(from), {
          ...options,
          onProgress: (bytes) => {
            this.#remember(supplier, offset + filled, from + bytes - filled)
            filled = from + bytes
            options.onProgress?.(filled)
          },
        })
        this.#remember(supplier, offset + filled, target.length - filled)
        return
      } catch (error) {
        throwIfAborted(options.signal)
        if (hasCode(error, 'ABORTED')) throw error
        failure ??= error
        if (supplier.site.isMirror) this.#blame(supplier, error)
        else if (isUnreachable(error)) ofPrimary = error
        else throw error
      }
    }
    throw (ofPrimary ??
      failure ??
      new RegistryFsError('UNSUPPORTED', 'no mirror and no server may send blobs')) as Error
  }

  distrust(offset: number, length: number): boolean {
    const first = Math.floor(offset / chunkBytes)
    const end = Math.min(this.#senders.length, Math.ceil((offset + length) / chunkBytes))
    let senders = 0
    for (let chunk = first; chunk < end; chunk++) {
      senders |= this.#senders[chunk] ?? 0
      this.#senders[chunk] = 0
    }
    for (const supplier of this.#suppliersBySite) {
      if ((senders & supplier.bit) === 0 || supplier.isDistrusted) continue
      supplier.isDistrusted = true
      const message = `other bytes than those of the digest came of ${this.#digest}`
      this.#health.report(supplier.site.name, new RegistryFsError('DIGEST_MISMATCH', message))
    }
    return senders !== 0
  }

  #order(): readonly Supplier[] {
    const now = performance.now()
    const bySite = new Map(this.#suppliersBySite.map((supplier) => [supplier.site, supplier]))
    return sitesInOrder([...bySite.keys()], ['pulls'], this.#health).flatMap((site) => {
      const supplier = bySite.get(site)
      return supplier === undefined || supplier.isDistrusted || supplier.missingUntil > now ? [] : [supplier]
    })
  }

  #remember({ bit }: Supplier, offset: number, length: number): void {
    if (bit === 0 || length <= 0) return
    const end = Math.ceil((offset + length) / chunkBytes)
    for (let chunk = Math.floor(offset / chunkBytes); chunk < end; chunk++)
      this.#senders[chunk] = (this.#senders[chunk] ?? 0) | bit
  }

  #blame(supplier: Supplier, error: unknown): void {
    if (hasCode(error, 'NOT_FOUND', 'GONE', 'UNAUTHORIZED', 'DENIED'))
      supplier.missingUntil = performance.now() + missingMs
    this.#health.report(supplier.site.name, error)
  }
}
