/**
 * The only loader of the addon (native/), and the TypeScript face of its flat verbs. Native code decides nothing and
 * checks nothing twice: arguments are validated here.
 */

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { getSystemErrorName } from 'node:util'
import { RegistryFsError } from './util/errors.js'
import { packageRoot } from './util/package-root.js'
import { isShortage, unreadable } from './util/unreadable.js'
import type { SpanCallback, SpanRequest, SpanVerbs, ZstdVerbs } from './util/addon-verbs.js'
import type {
  FuseChannel,
  FuseChannelEvents,
  FuseMountRequest,
  FuseMountResult,
  FuseVerbs,
  ResidentTable,
} from './util/fuse-verbs.js'
import type { InflatePass, PassOptions } from './util/pass-verbs.js'

export type { FilePart, SpanRequest } from './util/addon-verbs.js'
export type * from './util/fuse-verbs.js'
export type * from './util/pass-verbs.js'

interface Addon extends SpanVerbs, ZstdVerbs, FuseVerbs {
  /** What the inflater writes before the slots of a pass, and behind them. */
  readonly slotHeadBytes: number
  readonly slotTailBytes: number
  readonly Pass: new (options: PassOptions) => InflatePass
  inflateSpan(
    request: SpanRequest,
    target: Buffer,
    done: SpanCallback,
    table?: ResidentTable,
    space?: number,
    offset?: number,
  ): void
  bareInflate(input: readonly Buffer[], done: (seconds: number) => void): void
  crc32(bytes: Buffer): number
  sealOf(chunk: Buffer, before: Buffer, bytesBefore: number, isShort: boolean): Buffer
  replaceFile(
    temporary: string,
    path: string,
    parts: readonly Buffer[],
    durable: boolean,
    done: (errno: number) => void,
  ): void
  readXattrs(path: Buffer, limitBytes: number, done: (found: number | readonly Buffer[]) => void): void
  lockFile(path: string): boolean
  closeOnExec(descriptor: number): void
  putInPlace(from: number, to: number): void
  returnFreedMemory(): void
  allocateLarge(bytes: number): Buffer | undefined
}

/** Of nearly all machines. */
const hugePageBytes = 2 << 20

let addon: Addon | undefined

function load(): Addon {
  if (addon !== undefined) return addon
  const path = join(packageRoot, 'native/build/Release/registryfs.node')
  try {
    addon = createRequire(import.meta.url)(path) as Addon
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    throw new RegistryFsError('HOST', `the native addon cannot be loaded (make build): ${reason}`, {
      cause: error,
    })
  }
  return addon
}

export function spanVerbs(): SpanVerbs {
  return load()
}

export function zstdVerbs(): ZstdVerbs {
  return load()
}

/** Buffers that a pass fills, all of `bytes`. There is room around them: matches are copied from what lies before the output. */
export function allocateSlots(count: number, bytes: number): readonly Buffer[] {
  const { slotHeadBytes, slotTailBytes } = load()
  const each = slotHeadBytes + bytes + slotTailBytes
  const all = allocateLarge(count * each)
  return Array.from({ length: count }, (_, i) =>
    all.subarray(i * each + slotHeadBytes, i * each + slotHeadBytes + bytes),
  )
}

/** Bytes of any content, for MiBs that are used again and again: in huge pages where the kernel has them. */
export function allocateLarge(bytes: number): Buffer {
  const large = bytes < hugePageBytes ? undefined : load().allocateLarge(bytes)
  return large ?? Buffer.allocUnsafeSlow(bytes)
}

/** Starts the threads of a pass. Throws CORRUPT when `resume` is no checkpoint of this addon, INVALID for bad options. */
export function openPass(options: PassOptions): InflatePass {
  const slotBytes = options.slots[0]?.length ?? 0
  const sizes = [
    options.spacingBytes,
    options.minimumCompressedBytes,
    options.maximumSpanBytes,
    options.checkpointBytes,
    options.chunkBytes,
  ]
  const { Pass, slotHeadBytes, slotTailBytes } = load()
  const isSlot = ({ length, byteOffset, buffer }: Buffer): boolean =>
    length === slotBytes &&
    byteOffset >= slotHeadBytes &&
    byteOffset + length + slotTailBytes <= buffer.byteLength
  if (slotBytes < slotTailBytes || !options.slots.every(isSlot)) {
    throw new RegistryFsError('INVALID', 'the slots of a pass must be of one size, and have room around them')
  }
  if (options.chunkBytes % 64 !== 0)
    throw new RegistryFsError('INVALID', 'a chunk must end where a block of SHA-256 does')
  if (
    !sizes.every((size) => Number.isSafeInteger(size) && size > 0) ||
    options.maximumSpanBytes < options.spacingBytes
  ) {
    throw new RegistryFsError(
      'INVALID',
      'the sizes of a pass must be positive, its longest span no shorter than the spacing',
    )
  }
  try {
    return new Pass(options)
  } catch (error) {
    throw new RegistryFsError('CORRUPT', error instanceof Error ? error.message : String(error))
  }
}

/**
 * Inflates a span, or a piece of it, on the addon's threads, into `into` (of `lengthBytes`) where there is one. CORRUPT
 * when the bytes are not what the request says, UNREADABLE when nobody can read files now. Where they are well, they are offered before this resolves (resident-spans.ts).
 */
export async function inflateSpan(
  request: SpanRequest,
  into?: Buffer,
  offer?: { readonly table: ResidentTable; readonly space: number; readonly offset: number },
): Promise<Buffer> {
  const { lengthBytes, skipBytes, bitOffset, windowLength } = request
  if (
    ![lengthBytes, skipBytes].every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0) ||
    ![bitOffset, windowLength].every((count) => Number.isInteger(count) && count >= 0) ||
    bitOffset > 7 ||
    (into !== undefined && into.length !== lengthBytes) ||
    windowLength > 32_768
  ) {
    throw new RegistryFsError('INVALID', 'a span request is out of range')
  }
  const target = into ?? Buffer.allocUnsafeSlow(lengthBytes)
  return new Promise((resolve, reject) => {
    const done: SpanCallback = (answer) => {
      if (answer === null) resolve(target)
      else reject(spanFailure('gzip', answer))
    }
    load().inflateSpan(request, target, done, offer?.table, offer?.space, offer?.offset)
  })
}

/** What is wrong with a span, or the errno of a file that should have parts of it. */
export function spanFailure(codec: 'gzip' | 'zstd', answer: string | number): RegistryFsError {
  if (typeof answer === 'string') return new RegistryFsError('CORRUPT', `${codec}: ${answer}`)
  const code = getSystemErrorName(-answer)
  const cause = Object.assign(new Error(code), { code, errno: -answer })
  if (isShortage(cause)) return unreadable(cause, `${codec}: a part of a span`)
  return new RegistryFsError('CORRUPT', `${codec}: a part of a span is not to be had (${code})`, { cause })
}

/** What a verb says when it is done. It never rejects, nor does it answer in an environment that is going down. */
async function answerOf<T>(start: (addon: Addon, done: (answer: T) => void) => void): Promise<T> {
  return new Promise((resolve) => {
    start(load(), resolve)
  })
}

/** Mounts, by mount(2) or through fusermount3; not on the main thread. Never rejects. */
export async function mountFuse(request: FuseMountRequest): Promise<FuseMountResult> {
  return answerOf((addon, done) => {
    addon.mountFuse(request, done)
  })
}

/** Starts to read requests; the descriptor belongs to the channel from now on. */
export function openFuseChannel(
  descriptor: number,
  { onRequests, onEnd, onTouched }: FuseChannelEvents,
  table?: ResidentTable,
  bare?: Buffer,
): FuseChannel {
  return new (load().FuseChannel)(descriptor, onRequests, onEnd, onTouched, table, bare)
}

export function makeResidentTable(): ResidentTable {
  return new (load().ResidentTable)()
}

/** CPU seconds that plain inflate takes for one gzip member in memory: the benchmark's floor. */
export async function bareInflate(input: readonly Buffer[]): Promise<number> {
  const seconds = await answerOf<number>((addon, done) => {
    addon.bareInflate(input, done)
  })
  if (seconds < 0) throw new RegistryFsError('CORRUPT', 'the input is not one whole gzip member')
  return seconds
}

/** As zlib's, several times as fast. */
export function crc32(bytes: Buffer): number {
  return load().crc32(bytes)
}

const noSeal = Buffer.alloc(32)

/**
 * What proves a chunk of a blob once the blob before it is proven (32 bytes): the state of the blob's SHA-256 at the
 * chunk's end, or the blob's digest where a short chunk ends it. Another chunk with the same seal would be a
 * collision of SHA-256, for what both are appended to is the same and so is their length. `before`: the seal of the
 * chunk before, undefined for the first one.
 */
export function chunkSeal(
  chunk: Buffer,
  before: Buffer | undefined,
  place: { readonly index: number; readonly chunkBytes: number },
): Buffer {
  if (before === undefined ? place.index > 0 : before.length !== noSeal.length)
    throw new RegistryFsError('INVALID', 'a seal needs the one before')
  return load().sealOf(
    chunk,
    before ?? noSeal,
    place.index * place.chunkBytes,
    chunk.length < place.chunkBytes,
  )
}

/**
 * Writes the parts to a file that must not be there yet and renames it to `path`. Rejects with the system's error; then
 * nothing is left of it.
 */
export async function replaceFile(
  temporary: string,
  path: string,
  parts: readonly Buffer[],
  options: { readonly durable: boolean },
): Promise<void> {
  const errno = await answerOf<number>((addon, done) => {
    addon.replaceFile(temporary, path, parts, options.durable, done)
  })
  if (errno === 0) return
  const code = getSystemErrorName(-errno)
  throw Object.assign(new Error(`${code}: cannot write '${path}'`), { code, errno: -errno, path })
}

/** See util/xattrs.ts, which makes something of it: names and values in turn, or the errno. */
export async function listXattrs(path: Buffer, limitBytes: number): Promise<number | readonly Buffer[]> {
  return answerOf((addon, done) => {
    addon.readXattrs(path, limitBytes, done)
  })
}

/** Takes flock(2) on a file, made if need be, until the process ends. False: somebody else has it. */
export function lockFile(path: string): boolean {
  return load().lockFile(path)
}

/** Makes malloc give large blocks back to the system when they are freed; for processes that live long. */
export function returnFreedMemory(): void {
  load().returnFreedMemory()
}

/** Children of this process do not inherit the descriptor. */
export function closeOnExec(descriptor: number): void {
  load().closeOnExec(descriptor)
}

/** The descriptor `to` is from now on one of what `from` is, whoever writes to it: dup2(2). */
export function putInPlace(from: number, to: number): void {
  load().putInPlace(from, to)
}
