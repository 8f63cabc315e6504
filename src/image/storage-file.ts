import { clampLength, type ByteSource } from '../blob/source.js'
import type { LocalFile } from '../local/local-file.js'
import { RegistryFsError } from '../util/errors.js'
import type { ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'

/** Everything in a store's image but directories. */
export class StorageFile implements ImageNode {
  readonly attributes: NodeAttributes
  readonly origin: NodeOrigin
  readonly linkName: Buffer
  readonly xattrs: ReadonlyMap<string, Buffer>
  readonly isBare: boolean
  readonly file: LocalFile
  /** Why it cannot be read. */
  readonly #unsupported: string | undefined

  constructor(options: {
    readonly attributes: NodeAttributes
    readonly origin: NodeOrigin
    readonly linkName: Buffer
    readonly xattrs: ReadonlyMap<string, Buffer>
    readonly file: LocalFile
    readonly unsupported: string | undefined
  }) {
    this.attributes = options.attributes
    this.origin = options.origin
    this.linkName = options.linkName
    this.xattrs = options.xattrs
    this.isBare = options.xattrs.size === 0
    this.file = options.file
    this.#unsupported = options.unsupported
  }

  get type(): NodeAttributes['type'] {
    return this.attributes.type
  }

  open(): ByteSource {
    const { type, size } = this.attributes
    if (type !== 'file') throw new RegistryFsError('INVALID', `a ${type} has no content here`)
    if (this.#unsupported !== undefined)
      throw new RegistryFsError('UNSUPPORTED', `${this.file.path}: ${this.#unsupported}`)
    const { file } = this
    return {
      size,
      read: async (offset, length) => {
        const target = Buffer.allocUnsafeSlow(clampLength(size, offset, length))
        if (target.length > 0) await file.readInto(offset, target)
        return target
      },
    }
  }

  async lookup(): Promise<ImageNode | undefined> {
    return Promise.reject(this.#notADirectory())
  }

  async entries(): Promise<readonly ImageEntry[]> {
    return Promise.reject(this.#notADirectory())
  }

  watch(): AsyncIterable<ImageEntry> {
    throw this.#notADirectory()
  }

  #notADirectory(): RegistryFsError {
    return new RegistryFsError('NOT_A_DIRECTORY', `a ${this.attributes.type} has no entries`)
  }
}
