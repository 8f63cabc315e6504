/**
 * Answers the kernel's requests of one mount: bytes from the channel are decoded, become calls of FuseOperations, and what
 * those give is encoded and written back. No kernel is needed to test it. Requests run side by side, each answered once;
 * one that nobody waits for any more (INTERRUPT) is given up.
 */
import { constants } from 'node:os'
import { RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { Caching, DirectoryEntry, FileHandle, FuseOperations, Inode } from './binding.js'
import { failureErrno } from './failure.js'
import {
  DirectoryPacker,
  encodeAttributes,
  encodeEntry,
  encodeFileSystemStatus,
  encodeInit,
  encodeOpened,
  encodeSeek,
  encodeXattrSize,
  maxReadBytes,
} from './fuse-answers.js'
import {
  decodeBatchForget,
  decodeForget,
  decodeGetattr,
  decodeHandle,
  decodeInit,
  decodeInterrupt,
  decodeName,
  decodeOpen,
  decodeRead,
  decodeRequests,
  decodeSeek,
  decodeXattr,
  isChange,
  opcodes,
  openFlags,
  type FuseRequest,
} from './fuse-protocol.js'
import { accessModeMask, quickNames } from './kernel-constants.js'
import { hasPendingSignal } from './pending-signal.js'
import { ScratchPool } from './scratch-pool.js'

const { errno } = constants

/** Writes one answer; returns the errno with which the kernel refused it, 0 when it took it. */
export type Answer = (unique: number, errno: number, parts: readonly Buffer[]) => number

export interface FuseServerOptions {
  readonly answer: Answer
  readonly log: Logger
  /** INIT was answered: the mount works; or the kernel is too old. */
  readonly onInit: (error?: RegistryFsError) => void
}

/** The body of an answer, or an errno. */
type Body = readonly Buffer[] | number

type Work = (request: FuseRequest, signal: AbortSignal) => Promise<Body>

/** Kernel limit on names (FUSE_NAME_MAX of all versions): a longer one would fail the whole listing. */
const maxName = 1023
const slash = 0x2f

/** A page without the NUL: what the kernel takes of READLINK. */
const maxTarget = 4095

/** Whoever presses Ctrl-C does not notice. */
const lookAgainMs = 50

/** The kernel waits for no answer to these. */
const unanswered: ReadonlySet<number> = new Set([opcodes.forget, opcodes.batchForget, opcodes.interrupt])

export class FuseServer {
  readonly #operations: FuseOperations
  readonly #options: FuseServerOptions
  /** Those under way, by number. */
  readonly #waiting = new Map<number, { readonly pid: number; readonly controller: AbortController }>()
  readonly #scratches = new ScratchPool(maxReadBytes)
  readonly #work: ReadonlyMap<number, { readonly name: string; readonly run: Work }>

  constructor(operations: FuseOperations, options: FuseServerOptions) {
    this.#operations = operations
    this.#options = options
    const work: Partial<Record<keyof typeof opcodes, Work>> = {
      getattr: async (request, signal) => this.#getattr(request, signal),
      readlink: async ({ inode }, signal) => {
        const target = await operations.readlink(inode as Inode, { signal })
        if (target.length > maxTarget) throw new RegistryFsError('NAME_TOO_LONG', 'link is too long')
        return [target]
      },
      statfs: async () => Promise.resolve([encodeFileSystemStatus(operations.statfs())]),
      release: async ({ body }) => this.#release(body),
      getxattr: async (request, signal) => this.#getxattr(request, signal),
      listxattr: async (request, signal) => this.#listxattr(request, signal),
      readdir: async (request, signal) => this.#readdir(request, signal),
      releasedir: async ({ body }) => {
        operations.releasedir(decodeHandle(body) as FileHandle)
        return Promise.resolve([])
      },
      lseek: async (request, signal) => this.#seek(request, signal),
    }
    this.#work = new Map(
      Object.entries(work).map(([name, run]) => [opcodes[name as keyof typeof opcodes], { name, run }]),
    )
  }

  /** What the channel has read: one or more whole requests. */
  take(bytes: Buffer): void {
    for (const request of decodeRequests(bytes)) {
      try {
        this.#takeOne(request)
      } catch (error) {
        // Cut off; those that want an answer are waited for.
        const { opcode } = request
        this.#options.log.error({ opcode, err: error }, 'a request of the kernel makes no sense')
        if (!unanswered.has(opcode)) this.#answer(request, errno.EIO, [])
      }
    }
  }

  /** The connection is gone: nobody waits for anything. */
  end(): void {
    for (const { controller } of this.#waiting.values()) controller.abort()
  }

  #takeOne(request: FuseRequest): void {
    const { opcode, inode, body } = request
    switch (opcode) {
      case opcodes.init:
        this.#init(request)
        return
      case opcodes.forget:
        this.#operations.forget(inode as Inode, decodeForget(body))
        return
      case opcodes.batchForget:
        for (const one of decodeBatchForget(body)) this.#operations.forget(one.inode as Inode, one.count)
        return
      case opcodes.interrupt:
        this.#interrupt(decodeInterrupt(body))
        return
      case opcodes.destroy:
        this.#answer(request, 0, [])
        return
      case opcodes.read:
        if (this.#answerFromMemory(request)) return
        void this.#serve('read', request, async (signal) => this.#read(request, signal))
        return
      case opcodes.lookup:
        void this.#serve('lookup', request, async (signal) => this.#lookup(request, signal))
        return
      case opcodes.readdirplus:
        void this.#serve('readdirplus', request, async (signal) => this.#readdirplus(request, signal))
        return
      case opcodes.open:
        void this.#serve('open', request, async (signal) => this.#open(request, signal))
        return
      case opcodes.opendir:
        void this.#serve('opendir', request, async (signal) => this.#opendir(request, signal))
        return
      case opcodes.getxattr:
        if (this.#answerQuickly(request)) return
    }
    const work = this.#work.get(opcode)
    if (work === undefined) this.#answer(request, isChange(opcode) ? errno.EROFS : errno.ENOSYS, [])
    else {
      void this.#serve(work.name, request, async (signal) => {
        this.#answerBody(request, await work.run(request, signal))
      })
    }
  }

  /**
   * The kernel says so of any task that has something to do before it may go on waiting: besides a signal that is work of
   * io_uring, which qemu-img has, and which must not make its open(2) fail with EINTR. It says so once, also when a signal
   * comes later.
   */
  #interrupt(unique: number): void {
    const waiting = this.#waiting.get(unique)
    if (waiting === undefined) return
    if (hasPendingSignal(waiting.pid)) waiting.controller.abort()
    else
      setTimeout(() => {
        this.#interrupt(unique)
      }, lookAgainMs).unref()
  }

  /** `work` answers, or throws before it has. */
  async #serve(
    name: string,
    request: FuseRequest,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const controller = new AbortController()
    this.#waiting.set(request.unique, { pid: request.pid, controller })
    try {
      await work(controller.signal)
    } catch (error) {
      this.#answer(request, failureErrno(name, error, this.#options.log), [])
    } finally {
      this.#waiting.delete(request.unique)
    }
  }

  /** Whether somebody got it: not when the request was given up meanwhile, or the mount is gone. */
  #answer({ unique, opcode }: FuseRequest, error: number, parts: readonly Buffer[]): boolean {
    const refusal = this.#options.answer(unique, error, parts)
    if (refusal === 0) return true
    if (refusal !== errno.ENOENT && refusal !== errno.ENODEV) {
      this.#options.log.error({ opcode, errno: refusal }, 'the kernel refused an answer')
      if (error === 0) this.#options.answer(unique, errno.EIO, [])
    }
    return false
  }

  #answerBody(request: FuseRequest, body: Body): void {
    if (typeof body === 'number') this.#answer(request, body, [])
    else this.#answer(request, 0, body)
  }

  #init(request: FuseRequest): void {
    const wanted = decodeInit(request.body)
    const bytes = encodeInit(wanted)
    if (bytes === undefined) {
      this.#answer(request, errno.EPROTO, [])
      const version = `${String(wanted.major)}.${String(wanted.minor)}`
      this.#options.onInit(
        new RegistryFsError('HOST', `the kernel speaks FUSE ${version}, which is too old (Linux 4.20)`),
      )
    } else if (this.#answer(request, 0, [bytes])) this.#options.onInit()
    else this.#options.onInit(new RegistryFsError('HOST', 'the kernel refused what we can do'))
  }

  async #lookup(request: FuseRequest, signal: AbortSignal): Promise<void> {
    const found = await this.#operations.lookup(request.inode as Inode, decodeName(request.body), { signal })
    // An answer that nobody gets counts no lookup.
    if (!this.#answer(request, 0, [encodeEntry(found, found.attributes.validMs)])) {
      this.#operations.forget(found.inode, 1)
    }
  }

  async #getattr({ inode, body }: FuseRequest, signal: AbortSignal): Promise<readonly Buffer[]> {
    const handle = decodeGetattr(body) as FileHandle | undefined
    const attributes =
      handle === undefined
        ? await this.#operations.getattr(inode as Inode, { signal })
        : await this.#operations.getattrOfHandle(handle, { signal })
    return [encodeAttributes(attributes, attributes.validMs)]
  }

  async #open(request: FuseRequest, signal: AbortSignal): Promise<void> {
    if ((decodeOpen(request.body).flags & accessModeMask) !== 0) {
      throw new RegistryFsError('READ_ONLY', 'the file system is read-only')
    }
    const handle = await this.#operations.open(request.inode as Inode, { signal })
    const flags = fileFlags(this.#operations.cachingOf(handle))
    // What nobody knows of nobody closes.
    if (!this.#answer(request, 0, [encodeOpened(handle, flags)])) this.#operations.release(handle)
  }

  async #opendir(request: FuseRequest, signal: AbortSignal): Promise<void> {
    const handle = await this.#operations.opendir(request.inode as Inode, { signal })
    const flags = directoryFlags(this.#operations.cachingOf(handle))
    if (!this.#answer(request, 0, [encodeOpened(handle, flags)])) this.#operations.releasedir(handle)
  }

  async #read(request: FuseRequest, signal: AbortSignal): Promise<void> {
    const { handle, offset, size } = decodeRead(request.body)
    const length = Math.min(size, maxReadBytes)
    await this.#operations.load(handle as FileHandle, offset, length, { signal })
    if (this.#answerFromMemory(request)) return
    const scratch = this.#scratches.take()
    // Not given back when it fails: what was given up may still be at work on it.
    const bytes = await this.#operations.read(handle as FileHandle, offset, length, { signal, scratch })
    this.#answer(request, 0, [bytes])
    this.#scratches.give(scratch)
  }

  #answerFromMemory(request: FuseRequest): boolean {
    const { handle, offset, size } = decodeRead(request.body)
    const parts = this.#operations.peek(handle as FileHandle, offset, Math.min(size, maxReadBytes))
    if (parts !== undefined) this.#answer(request, 0, parts)
    return parts !== undefined
  }

  async #seek({ body }: FuseRequest, signal: AbortSignal): Promise<Body> {
    const { handle, offset, whence } = decodeSeek(body)
    if (whence === undefined) return errno.EINVAL
    return [encodeSeek(await this.#operations.lseek(handle as FileHandle, offset, whence, { signal }))]
  }

  async #release(body: Buffer): Promise<readonly Buffer[]> {
    this.#operations.release(decodeHandle(body) as FileHandle)
    return Promise.resolve([])
  }

  async #readdir({ body }: FuseRequest, signal: AbortSignal): Promise<readonly Buffer[]> {
    const { handle, offset, size } = decodeRead(body)
    const packer = new DirectoryPacker(size)
    for (const [index, { name, type, inode }] of await this.#entriesFrom(handle, offset, signal)) {
      if (!packer.hasRoom(name.length, false)) break
      packer.add(name, type, inode, index + 1)
    }
    return [packer.bytes()]
  }

  async #readdirplus(request: FuseRequest, signal: AbortSignal): Promise<void> {
    const { handle, offset, size } = decodeRead(request.body)
    const packer = new DirectoryPacker(size)
    const looked: Inode[] = []
    for (const [index, { name, type, inode }] of await this.#entriesFrom(handle, offset, signal)) {
      if (!packer.hasRoom(name.length, true)) break
      const found = this.#operations.lookupEntry(handle as FileHandle, index)
      if (found !== undefined) looked.push(found.inode)
      packer.addPlus(name, type, inode, index + 1, found, found?.attributes.validMs ?? 0)
    }
    if (this.#answer(request, 0, [packer.bytes()])) return
    for (const inode of looked) this.#operations.forget(inode, 1)
  }

  async #entriesFrom(
    handle: number,
    offset: number,
    signal: AbortSignal,
  ): Promise<Iterable<[number, DirectoryEntry]>> {
    const entries = await this.#operations.readdir(handle as FileHandle, { signal })
    return this.#shown(entries, offset)
  }

  *#shown(entries: readonly DirectoryEntry[], offset: number): Iterable<[number, DirectoryEntry]> {
    let leftOut = 0
    try {
      for (let index = offset; index < entries.length; index++) {
        const entry = entries[index] as DirectoryEntry
        if (isShowable(entry.name)) yield [index, entry]
        else leftOut++
      }
    } finally {
      // Once a page, not once an entry: an image can have millions of them.
      if (leftOut > 0)
        this.#options.log.warn({ entries: leftOut }, 'left out: no file system can show such names')
    }
  }

  /** What is known without waiting, as for most files there is nothing to know. */
  #answerQuickly(request: FuseRequest): boolean {
    const { name, size } = decodeXattr(request.body)
    if (!quickNames.test(name)) return false
    try {
      const value = this.#operations.peekxattr(request.inode as Inode, name)
      this.#answerBody(request, value === undefined ? errno.ENODATA : sized(value, size))
    } catch (error) {
      this.#answer(request, failureErrno('getxattr', error, this.#options.log), [])
    }
    return true
  }

  async #getxattr({ inode, body }: FuseRequest, signal: AbortSignal): Promise<Body> {
    const { name, size } = decodeXattr(body)
    return sized(await this.#operations.getxattr(inode as Inode, name, { signal }), size)
  }

  async #listxattr({ inode, body }: FuseRequest, signal: AbortSignal): Promise<Body> {
    const names = await this.#operations.listxattr(inode as Inode, { signal })
    return sized(Buffer.from(names.map((name) => `${name}\0`).join('')), decodeXattr(body).size)
  }
}

/** getxattr(2): a size of 0 asks for the length only; fewer bytes than the value has are ERANGE. */
function sized(value: Buffer, size: number): Body {
  if (size === 0) return [encodeXattrSize(value.length)]
  return size < value.length ? errno.ERANGE : [value]
}

function isShowable(name: Buffer): boolean {
  return name.length > 0 && name.length <= maxName && !name.includes(0) && !name.includes(slash)
}

function fileFlags(caching: Caching): number {
  if (caching === 'none') return openFlags.directIo
  return caching === 'for-ever' ? openFlags.keepCache : 0
}

function directoryFlags(caching: Caching): number {
  return caching === 'for-ever' ? openFlags.cacheDirectory | openFlags.keepCache : 0
}
