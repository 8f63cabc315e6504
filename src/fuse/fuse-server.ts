/**
 * Answers the kernel's requests of one mount: bytes from the channel are decoded, become calls of FuseOperations, and what
 * those give is encoded and written back. No kernel is needed to test it. Requests run side by side, each answered once;
 * one that nobody waits for any more (INTERRUPT) is given up.
 */
import { constants } from 'node:os'
import { RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { Caching, DirectoryEntry, FileHandle, FuseOperations, Inode, LookupResult } from './binding.js'
import { DirectoryPages } from './directory-pages.js'
import { failureErrno } from './failure.js'
import {
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
import type { ParkedReads } from './parked-reads.js'
import type { Passthrough } from './passthrough.js'
import { ScratchPool } from './scratch-pool.js'
import { WaitingRequests } from './waiting-requests.js'

const { errno } = constants

/** Writes one answer; returns the errno with which the kernel refused it, 0 when it took it. */
export type Answer = (unique: number, errno: number, parts: readonly Buffer[]) => number

export interface FuseServerOptions {
  readonly answer: Answer
  readonly log: Logger
  /** Where the kernel is to read files by itself, as far as it can. */
  readonly passthrough?: Passthrough | undefined
  /** Where reads wait that others may answer. */
  readonly parked?: ParkedReads | undefined
  /** INIT was answered: the mount works; or the kernel is too old. */
  readonly onInit: (error?: RegistryFsError) => void
}

/** The body of an answer, or an errno. */
type Body = readonly Buffer[] | number

type Work = (request: FuseRequest, signal: AbortSignal) => Promise<Body>

/** A page without the NUL: what the kernel takes of READLINK. */
const maxTarget = 4095

/** The kernel waits for no answer to these. */
const unanswered: ReadonlySet<number> = new Set([opcodes.forget, opcodes.batchForget, opcodes.interrupt])

export class FuseServer {
  readonly #operations: FuseOperations
  readonly #options: FuseServerOptions
  readonly #waiting = new WaitingRequests()
  readonly #pages = new DirectoryPages()
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
      getxattr: async (request, signal) => this.#getxattr(request, signal),
      listxattr: async (request, signal) => this.#listxattr(request, signal),
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
    this.#waiting.abortAll()
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
        this.#waiting.interrupt(decodeInterrupt(body))
        return
      case opcodes.destroy:
        this.#answer(request, 0, [])
        return
      case opcodes.read:
        if (this.#answerFromMemory(request)) return
        void this.#serve('read', request, async (signal) => this.#read(request, signal))
        return
      case opcodes.lookup:
        if (this.#atOnce('lookup', request, () => this.#peekLookup(request))) return
        void this.#serve('lookup', request, async (signal) => this.#lookup(request, signal))
        return
      case opcodes.readdir:
      case opcodes.readdirplus:
        if (this.#atOnce('readdir', request, () => this.#peekEntries(request))) return
        void this.#serve('readdir', request, async (signal) => this.#readdir(request, signal))
        return
      case opcodes.open:
        void this.#serve('open', request, async (signal) => this.#open(request, signal))
        return
      case opcodes.opendir:
        if (this.#atOnce('opendir', request, () => this.#peekOpendir(request))) return
        void this.#serve('opendir', request, async (signal) => this.#opendir(request, signal))
        return
      case opcodes.release:
      case opcodes.releasedir:
        this.#release(request)
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

  /** What is in memory is answered in the same turn, for what a promise takes is more than most answers. False: it takes longer. */
  #atOnce(name: string, request: FuseRequest, work: () => boolean): boolean {
    try {
      return work()
    } catch (error) {
      this.#answer(request, failureErrno(name, error, this.#options.log), [])
      return true
    }
  }

  /** `work` answers, or throws before it has. */
  async #serve(
    name: string,
    request: FuseRequest,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const signal = this.#waiting.begin(request)
    try {
      await work(signal)
    } catch (error) {
      this.#answer(request, failureErrno(name, error, this.#options.log), [])
    } finally {
      this.#waiting.end(request.unique)
    }
  }

  /** Whether somebody got it: not when the request was given up meanwhile, or the mount is gone. */
  #answer({ unique, opcode }: FuseRequest, error: number, parts: readonly Buffer[]): boolean {
    if (this.#options.parked?.isAnswered(unique) === true) return true
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
    const { passthrough } = this.#options
    const bytes = encodeInit(wanted, passthrough !== undefined)
    if (wanted.hasPassthrough) passthrough?.agree()
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
    this.#answerFound(
      request,
      await this.#operations.lookup(request.inode as Inode, decodeName(request.body), { signal }),
    )
  }

  #peekLookup(request: FuseRequest): boolean {
    const found = this.#operations.peekLookup(request.inode as Inode, decodeName(request.body))
    if (found !== undefined) this.#answerFound(request, found)
    return found !== undefined
  }

  #answerFound(request: FuseRequest, found: LookupResult): void {
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
    const caching = this.#operations.cachingOf(handle)
    const backing =
      caching === 'none'
        ? 0
        : (this.#options.passthrough?.open(request.inode, handle, this.#operations.backingOf(handle)) ?? 0)
    const flags = backing === 0 ? fileFlags(caching) : openFlags.passthrough
    // What nobody knows of nobody closes.
    if (!this.#answer(request, 0, [encodeOpened(handle, flags, backing)])) this.#close(handle)
  }

  #close(handle: FileHandle): void {
    this.#options.passthrough?.release(handle)
    this.#operations.release(handle)
  }

  async #opendir(request: FuseRequest, signal: AbortSignal): Promise<void> {
    this.#answerOpendir(request, await this.#operations.opendir(request.inode as Inode, { signal }))
  }

  #peekOpendir(request: FuseRequest): boolean {
    const handle = this.#operations.peekOpendir(request.inode as Inode)
    if (handle !== undefined) this.#answerOpendir(request, handle)
    return handle !== undefined
  }

  #answerOpendir(request: FuseRequest, handle: FileHandle): void {
    const flags = directoryFlags(this.#operations.cachingOf(handle))
    if (!this.#answer(request, 0, [encodeOpened(handle, flags)])) this.#operations.releasedir(handle)
  }

  async #read(request: FuseRequest, signal: AbortSignal): Promise<void> {
    const { handle, offset, size } = decodeRead(request.body)
    const length = Math.min(size, maxReadBytes)
    const { parked } = this.#options
    parked?.park(request.unique, handle, offset, length)
    await this.#operations.load(handle as FileHandle, offset, length, { signal })
    if (parked?.isAnswered(request.unique) === true) return
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

  #release(request: FuseRequest): void {
    const handle = decodeHandle(request.body) as FileHandle
    if (request.opcode === opcodes.release) this.#close(handle)
    else this.#operations.releasedir(handle)
    this.#answer(request, 0, [])
  }

  async #readdir(request: FuseRequest, signal: AbortSignal): Promise<void> {
    const { handle } = decodeRead(request.body)
    this.#answerEntries(request, await this.#operations.readdir(handle as FileHandle, { signal }))
  }

  #peekEntries(request: FuseRequest): boolean {
    const entries = this.#operations.peekReaddir(decodeRead(request.body).handle as FileHandle)
    if (entries !== undefined) this.#answerEntries(request, entries)
    return entries !== undefined
  }

  #answerEntries(request: FuseRequest, entries: readonly DirectoryEntry[]): void {
    const handle = decodeRead(request.body).handle as FileHandle
    const { bytes, looked, leftOut } = this.#pages.page(request, entries, (index) =>
      this.#operations.lookupEntry(handle, index),
    )
    // Once a page, not once an entry: an image can have millions of them.
    if (leftOut > 0)
      this.#options.log.warn({ entries: leftOut }, 'left out: no file system can show such names')
    if (this.#answer(request, 0, [bytes])) return
    for (const inode of looked) this.#operations.forget(inode, 1)
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

function fileFlags(caching: Caching): number {
  if (caching === 'none') return openFlags.directIo
  return caching === 'for-ever' ? openFlags.keepCache : 0
}

function directoryFlags(caching: Caching): number {
  return caching === 'for-ever' ? openFlags.cacheDirectory | openFlags.keepCache : 0
}
