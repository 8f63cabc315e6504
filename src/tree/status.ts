import type { ByteSource } from '../blob/source.js'
import type { Image, NodeAttributes } from '../image/image.js'
import { clampLength } from '../blob/source.js'
import { RegistryFsError } from '../util/errors.js'
import { Directory, emptyBytes, noXattrs, ownAttributes } from './directory.js'
import { nameValidMs } from './place.js'
import type { Facts, TreeEntry, TreeLookup, TreeNode } from './node.js'

class BytesSource implements ByteSource {
  readonly size: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.size = bytes.length
    this.#bytes = bytes
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return Promise.resolve(this.#bytes.subarray(offset, offset + clampLength(this.size, offset, length)))
  }
}

interface Snapshot {
  readonly bytes: Promise<Buffer>
  readonly madeMs: number
  /** When a size of it was last told. */
  toldMs: number
}

/**
 * Is /.registryfs/status.json: made anew when asked for, and then the same for all of an open handle's reads. The kernel
 * reads no further than the size that it was told last and believes for a second, so an open within that time gets
 * the text of that size.
 */
export class StatusFile implements TreeNode {
  readonly type = 'file'
  readonly linkName = emptyBytes
  readonly xattrs = noXattrs
  readonly isBare = true
  readonly image: Image | undefined = undefined
  readonly attributes: NodeAttributes | undefined = undefined
  readonly #status: () => Promise<object>
  #snapshot: Snapshot | undefined

  constructor(status: () => Promise<object>) {
    this.#status = status
  }

  readonly isResolved = true

  async resolve(): Promise<TreeNode> {
    return Promise.resolve(this)
  }

  async getAttributes(): Promise<NodeAttributes> {
    const snapshot = this.#current((one, now) => now - one.madeMs < nameValidMs)
    const { length } = await snapshot.bytes
    snapshot.toldMs = Date.now()
    return { ...ownAttributes('file', length), mtimeSeconds: Math.floor(snapshot.madeMs / 1000) }
  }

  async lookup(): Promise<TreeLookup | undefined> {
    return Promise.reject(new RegistryFsError('NOT_A_DIRECTORY', 'is not a directory'))
  }

  async entries(): Promise<readonly TreeEntry[]> {
    return Promise.reject(new RegistryFsError('NOT_A_DIRECTORY', 'is not a directory'))
  }

  async open(): Promise<ByteSource> {
    const snapshot = this.#current((one, now) => now - one.toldMs < 2 * nameValidMs)
    return new BytesSource(await snapshot.bytes)
  }

  async explain(): Promise<Facts> {
    return Promise.resolve(new Map([['mediatype', 'application/json']]))
  }

  #current(isFresh: (snapshot: Snapshot, nowMs: number) => boolean): Snapshot {
    const now = Date.now()
    if (this.#snapshot === undefined || !isFresh(this.#snapshot, now)) {
      const bytes = this.#status().then((status) => Buffer.from(`${JSON.stringify(status, undefined, 2)}\n`))
      const snapshot: Snapshot = { bytes, madeMs: now, toldMs: now }
      bytes.catch(() => {
        if (this.#snapshot === snapshot) this.#snapshot = undefined
      })
      this.#snapshot = snapshot
    }
    return this.#snapshot
  }
}

/** Is /.registryfs: what the mount says about itself. */
export class AboutDirectory extends Directory {
  readonly #files: ReadonlyMap<string, TreeNode>

  constructor(files: ReadonlyMap<string, TreeNode>) {
    super()
    this.#files = files
  }

  override async lookup(name: Buffer): Promise<TreeLookup | undefined> {
    const node = this.#files.get(name.toString())
    return Promise.resolve(node === undefined ? undefined : { node, validMs: Infinity })
  }

  override async entries(): Promise<readonly TreeEntry[]> {
    return Promise.resolve(
      [...this.#files].map(([name, node]) => ({ name: Buffer.from(name), type: node.type, node })),
    )
  }

  override async explain(): Promise<Facts> {
    return Promise.resolve(new Map())
  }
}
