import { seekBlocks } from '../blob/block-seek.js'
import type { BackingFile, ByteSource, SourceReadOptions, Whence } from '../blob/source.js'
import type { Image, NodeAttributes } from '../image/image.js'
import { InodeTable, type Inode } from '../tree/inode-table.js'
import type { TreeLookup, TreeNode } from '../tree/node.js'
import { nameValidMs } from '../tree/place.js'
import type { Tree } from '../tree/tree.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import { fileBlockBytes } from '../util/file-block.js'
import type {
  Attributes,
  Caching,
  DirectoryEntry,
  FileHandle,
  FileSystemStatus,
  FuseOperations,
  LookupResult,
} from './binding.js'
import { explainNode, factNames, factPrefix } from './facts.js'
import { HandleTable } from './handles.js'
import { OpenDirectory } from './open-directory.js'
import { Requests, type RequestsOptions } from './requests.js'
import { attributesOfNode } from './shown-attributes.js'

interface Found extends TreeLookup {
  readonly attributes: NodeAttributes
}

interface OpenNode {
  readonly inode: Inode
  /** What the name led to when it was opened. */
  readonly node: TreeNode
}

interface OpenFile extends OpenNode {
  readonly source: ByteSource
}

/** The tree, as the kernel asks for it: by inode numbers and handles. */
export class TreeOperations implements FuseOperations {
  readonly #tree: Tree
  readonly #options: RequestsOptions
  readonly #inodes: InodeTable
  readonly #handles = new HandleTable<OpenFile | OpenDirectory>()
  /** A name may lead to another image by the time that it is closed. */
  readonly #pinnedBy = new Map<FileHandle, Image>()
  readonly #requests: Requests

  constructor(tree: Tree, options: RequestsOptions) {
    this.#tree = tree
    this.#options = options
    this.#requests = new Requests(tree.errors, options)
    this.#inodes = new InodeTable(tree.root, options.bare)
  }

  /** Gives up all requests that wait, with EINTR, and all that come. */
  stop(): void {
    this.#requests.stop()
    this.#options.resident?.closeAllFiles()
  }

  /** For status.json. */
  status(): ReturnType<Requests['status']> & { openHandles: number; inodes: number } {
    return { ...this.#requests.status(), openHandles: this.#handles.size, inodes: this.#inodes.size }
  }

  async lookup(parent: Inode, name: Buffer, options?: ReadOptions): Promise<LookupResult> {
    const directory = this.#inodes.get(parent)
    const look = async (signal: AbortSignal): Promise<Found | undefined> => {
      const lookup = await directory.lookup(name, { signal })
      if (lookup === undefined) return undefined
      return {
        ...lookup,
        attributes: lookup.node.attributes ?? (await lookup.node.getAttributes({ signal })),
      }
    }
    const found = await this.#requests.run('lookup', directory, options, look, name)
    if (found === undefined) throw new RegistryFsError('NOT_FOUND', 'no such file or directory')
    const inode = this.#inodes.acquire(found.node)
    return {
      inode,
      attributes: attributesOfNode(inode, found.node, found.attributes),
      validMs: found.validMs,
    }
  }

  peekLookup(parent: Inode, name: Buffer): LookupResult | undefined {
    if (this.#requests.isStopped) return undefined
    const found = this.#inodes.get(parent).peek?.(name)
    const attributes = found?.node.attributes
    if (found === undefined || attributes === undefined) return undefined
    this.#requests.count('lookup')
    const inode = this.#inodes.acquire(found.node)
    return { inode, attributes: attributesOfNode(inode, found.node, attributes), validMs: found.validMs }
  }

  forget(inode: Inode, count: number): void {
    this.#inodes.forget(inode, count)
  }

  async getattr(inode: Inode, options?: ReadOptions): Promise<Attributes> {
    return this.#getattr(inode, this.#inodes.get(inode), options)
  }

  async getattrOfHandle(handle: FileHandle, options?: ReadOptions): Promise<Attributes> {
    const { inode, node, ...open } = this.#handles.get(handle)
    const attributes = await this.#getattr(inode, node, options)
    if (!('source' in open) || open.source.size === attributes.size) return attributes
    return attributesOfNode(inode, node, { ...attributes, size: open.source.size, blocks: undefined })
  }

  async readlink(inode: Inode): Promise<Buffer> {
    const node = this.#inodes.get(inode)
    if (node.type !== 'symlink') throw new RegistryFsError('INVALID', 'is not a symbolic link')
    return Promise.resolve(node.linkName)
  }

  async open(inode: Inode, options?: ReadOptions): Promise<FileHandle> {
    const node = this.#inodes.get(inode)
    const source = await this.#requests.run('open', node, options, async (signal) => {
      const opened = await node.open({ signal })
      // Given up meanwhile: nobody will.
      if (signal.aborted) opened.release?.()
      return opened
    })
    const handle = this.#pinned({ inode, node, source })
    if (source.placed !== undefined && !this.#requests.isStopped)
      this.#options.resident?.openFile(handle, source.placed, source.size)
    return handle
  }

  async read(
    handle: FileHandle,
    offset: number,
    length: number,
    options?: SourceReadOptions,
  ): Promise<Buffer> {
    const file = this.#handles.get(handle)
    if (!('source' in file)) throw new RegistryFsError('IS_A_DIRECTORY', 'is a directory')
    return this.#requests.run('read', file.node, options, async (signal) =>
      file.source.read(offset, length, { signal, scratch: options?.scratch }),
    )
  }

  async load(handle: FileHandle, offset: number, length: number, options?: ReadOptions): Promise<void> {
    const file = this.#handles.find(handle)
    if (file === undefined || !('source' in file)) return
    const { source, node } = file
    if (source.load === undefined) return
    await this.#requests.guard('read', node, options, async (signal) =>
      source.load?.(offset, length, { signal }),
    )
  }

  peek(handle: FileHandle, offset: number, length: number): readonly Buffer[] | undefined {
    if (this.#requests.isStopped) return undefined
    const file = this.#handles.find(handle)
    const parts = file !== undefined && 'source' in file ? file.source.peek?.(offset, length) : undefined
    if (parts !== undefined) this.#requests.count('read')
    return parts
  }

  async lseek(handle: FileHandle, offset: number, whence: Whence, options?: ReadOptions): Promise<number> {
    const file = this.#handles.get(handle)
    if (!('source' in file)) throw new RegistryFsError('INVALID', 'is a directory')
    const { source, node } = file
    if (offset < 0 || offset >= source.size) throw new RegistryFsError('NO_DATA', 'not within the file')
    const found = await this.#requests.run('lseek', node, options, async (signal) =>
      seekBlocks(source, whence, offset, { signal }),
    )
    if (whence === 'data' && found === source.size) {
      throw new RegistryFsError('NO_DATA', 'nothing but a hole follows')
    }
    return found
  }

  release(handle: FileHandle): void {
    // Before the number can be another file's.
    this.#options.resident?.closeFile(handle)
    const open = this.#handles.remove(handle)
    if (open !== undefined && 'source' in open) open.source.release?.()
    else open?.close()
    const image = this.#pinnedBy.get(handle)
    if (image !== undefined) this.#tree.pins.unpin(image)
    this.#pinnedBy.delete(handle)
  }

  async opendir(inode: Inode, options?: ReadOptions): Promise<FileHandle> {
    const directory = this.#directoryAt(inode)
    const node = await this.#requests.run('opendir', directory, options, async (signal) =>
      directory.resolve({ signal }),
    )
    return this.#openDirectory(inode, node)
  }

  peekOpendir(inode: Inode): FileHandle | undefined {
    const directory = this.#directoryAt(inode)
    if (!directory.isResolved || this.#requests.isStopped) return undefined
    this.#requests.count('opendir')
    return this.#openDirectory(inode, directory)
  }

  #directoryAt(inode: Inode): TreeNode {
    const directory = this.#inodes.get(inode)
    if (directory.type !== 'directory') throw new RegistryFsError('NOT_A_DIRECTORY', 'is not a directory')
    return directory
  }

  #openDirectory(inode: Inode, node: TreeNode): FileHandle {
    const open = new OpenDirectory(inode, node, this.#inodes, async (opened, closed) =>
      this.#requests.run('readdir', opened, { signal: closed }, async (signal) => opened.entries({ signal })),
    )
    return this.#pinned(open)
  }

  async readdir(handle: FileHandle, options?: ReadOptions): Promise<readonly DirectoryEntry[]> {
    // The listing is shared by all who read this handle; each can give up by itself.
    return abortable(this.#directory(handle).listing.get(), options?.signal)
  }

  peekReaddir(handle: FileHandle): readonly DirectoryEntry[] | undefined {
    if (this.#requests.isStopped) return undefined
    const directory = this.#directory(handle)
    const isFirst = !directory.isListed
    const entries = directory.peek()
    if (isFirst && entries !== undefined) this.#requests.count('readdir')
    return entries
  }

  lookupEntry(handle: FileHandle, index: number): LookupResult | undefined {
    const directory = this.#directory(handle)
    const attributes = directory.lookup(index)
    if (attributes === undefined) return undefined
    this.#requests.count('lookup')
    // As lookup has it: a name whose directory can move is believed as long as that.
    const isForEver = directory.node.image?.isProven === true && this.#isFixed(directory)
    const validMs = isForEver ? Infinity : nameValidMs
    return { inode: attributes.inode, attributes, validMs }
  }

  releasedir(handle: FileHandle): void {
    this.release(handle)
  }

  backingOf(handle: FileHandle): BackingFile | undefined {
    const open = this.#handles.find(handle)
    return open !== undefined && 'source' in open ? open.source.backing : undefined
  }

  cachingOf(handle: FileHandle): Caching {
    const open = this.#handles.get(handle)
    if (open.node.image === undefined) return 'none'
    return open.node.image.isProven && this.#isFixed(open) ? 'for-ever' : 'until-reopened'
  }

  peekxattr(inode: Inode, name: string): Buffer | undefined {
    this.#requests.count('getxattr')
    return this.#inodes.get(inode).xattrs.get(name)
  }

  async getxattr(inode: Inode, name: string, options?: ReadOptions): Promise<Buffer> {
    const node = this.#inodes.get(inode)
    const value = await this.#requests.run('getxattr', node, options, async (signal) => {
      if (!name.startsWith(factPrefix)) return (await node.resolve({ signal })).xattrs.get(name)
      const fact = (await explainNode(this.#tree, node, { signal })).get(name.slice(factPrefix.length))
      return fact === undefined ? undefined : Buffer.from(fact)
    })
    if (value === undefined) throw new RegistryFsError('NO_ATTRIBUTE', 'no such attribute')
    return value
  }

  async listxattr(inode: Inode, options?: ReadOptions): Promise<readonly string[]> {
    const node = this.#inodes.get(inode)
    return this.#requests.run('listxattr', node, options, async (signal) => {
      const facts = await factNames(this.#tree, node, { signal })
      const own = await node.resolve({ signal }).then(
        (resolved) => [...resolved.xattrs.keys()],
        // The reason is among the facts.
        () => [],
      )
      const shown = own.filter((name) => !name.startsWith(factPrefix))
      return [...facts, ...shown]
    })
  }

  statfs(): FileSystemStatus {
    return { blockBytes: fileBlockBytes, nameBytesMax: 255 }
  }

  async #getattr(inode: Inode, node: TreeNode, options: ReadOptions | undefined): Promise<Attributes> {
    if (node.attributes !== undefined) {
      this.#requests.count('getattr')
      return attributesOfNode(inode, node, node.attributes)
    }
    const attributes = await this.#requests.run('getattr', node, options, async (signal) =>
      node.getAttributes({ signal }),
    )
    return attributesOfNode(inode, node, attributes)
  }

  #directory(handle: FileHandle): OpenDirectory {
    const directory = this.#handles.get(handle)
    if (!(directory instanceof OpenDirectory))
      throw new RegistryFsError('NOT_A_DIRECTORY', 'is not a directory')
    return directory
  }

  /** What was opened is the node of that inode itself, not what its name leads to at the moment. */
  #isFixed(open: OpenNode): boolean {
    return this.#inodes.numberOf(open.node) === open.inode
  }

  #pinned(open: OpenFile | OpenDirectory): FileHandle {
    const handle = this.#handles.add(open)
    const { image } = open.node
    if (image === undefined) return handle
    this.#tree.pins.pin(image)
    this.#pinnedBy.set(handle, image)
    return handle
  }
}
