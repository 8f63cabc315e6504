import type { ReadOptions } from '../util/abort.js'

/** lseek(2)'s SEEK_DATA and SEEK_HOLE. */
export type Whence = 'data' | 'hole'

/**
 * The one interface for bytes: everything from a member of an image down to the socket is a ByteSource, and every
 * feature decorates one.
 */
export interface ByteSource {
  /** In bytes, known beforehand (a descriptor's or a header's size). */
  readonly size: number

  /**
   * Resolves to exactly `length` bytes from `offset`, fewer only where the source ends, none at or beyond its end.
   * The buffer may be a view into a cache: never write to it.
   */
  read(offset: number, length: number, options?: SourceReadOptions): Promise<Buffer>

  /**
   * The same as views, where all of it is in memory: good until anything is awaited, never to be written to. Undefined:
   * read it. Absent: always that.
   */
  peek?(offset: number, length: number): readonly Buffer[] | undefined

  /** Brings bytes to memory, where `peek` finds them as far as there is room. Absent: it never would. */
  load?(offset: number, length: number, options?: ReadOptions): Promise<void>

  /**
   * The first byte of [offset, end) that is data, or that lies in a hole (zeros that take no reading); `end` where
   * there is none. May say data where there are zeros, never the other way round. Absent: all is data (seek.ts).
   */
  seek?(whence: Whence, offset: number, end: number, options?: ReadOptions): Promise<number>

  /** Where its bytes lie in one piece, as far as they are in memory. Absent: not so, or nobody looks there. */
  readonly placed?: Placed | undefined

  /** A file with exactly these bytes, good until the source is released. */
  readonly backing?: BackingFile | undefined

  /** Nobody reads it any more. Absent: it holds nothing. */
  release?(): void
}

/** A place in one of the spaces of resident-spans.ts. */
export interface Placed {
  readonly space: number
  readonly offset: number
}

/** A file of this machine that the kernel can read by itself. */
export interface BackingFile {
  /** Undefined until all of it was checked. */
  readonly descriptor: number | undefined
  /** The kernel would read it, if it were checked. */
  readonly onWanted: () => void
  /** The kernel was told to read it. */
  readonly onPassthrough: () => void
}

export interface SourceReadOptions extends ReadOptions {
  /**
   * At least `length` bytes that the answer may be put together in, where it does not lie in one piece: memory that is
   * made anew for each read costs more than filling it. Written to only in the moment before the read resolves.
   */
  readonly scratch?: Buffer | undefined
}

export interface ReadIntoOptions extends ReadOptions {
  /** Nobody waits for just these bytes: better late than never. */
  readonly isPatient?: boolean
  /**
   * Called with bytes before `offset` that had to come all the same, from a server that knows no ranges; `bytes` is only
   * good during the call.
   */
  readonly onPassing?: (offset: number, bytes: Buffer) => void
  /** Called as bytes arrive, with how many of `target` are filled from its start. */
  readonly onProgress?: (filledBytes: number) => void
}

/** A whole blob, in a registry or on a disk, whose bytes are not yet trusted. */
export interface BlobSource extends ByteSource {
  /** Its bytes are on this machine already: no cache needs to keep them. */
  readonly isLocal?: boolean

  /** The file that it was is another one now, or not there: every read fails with GONE, for good. */
  readonly isGone?: boolean

  /**
   * Fills all of `target` with the bytes from `offset`; `offset + target.length` must not exceed the size. Resumes
   * by itself at the byte where a connection broke off.
   */
  readInto(offset: number, target: Buffer, options?: ReadIntoOptions): Promise<void>

  /**
   * What was read there lately turned out to be wrong. True where some of it came from a mirror, which is asked for this
   * blob no more: the same read is worth another try. Absent: there is nobody else to ask.
   */
  distrust?(offset: number, length: number): boolean
}

/** How much of [offset, offset + length) a source of this size has. */
export function clampLength(size: number, offset: number, length: number): number {
  return Math.max(0, Math.min(length, size - offset))
}
