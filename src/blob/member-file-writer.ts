import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from '../native.js'
import { temporaryName, writeAtomically } from './atomic-file.js'
import { sumsPath } from './member-file.js'
import { blocksOf, encodeSums, sumBlockBytes, zeroSum, type MemberPlace } from './member-sums.js'
import { makeDirectories } from '../util/make-directories.js'

/**
 * So much is given to the disk at a time: without that a member's gigabytes would wait in the page cache and then go all at
 * once, in the way of everybody, or be found not to fit when it is too late to say so.
 */
const syncBytes = 32 << 20

/** In a piece: [start, end). */
export type DataRange = readonly [start: number, end: number]

/** A member's file as it comes into being, front to back, under a temporary name until `finish`. */
export class MemberFileWriter {
  readonly #place: MemberPlace
  readonly #path: string
  readonly #temporary: string
  readonly #handle: FileHandle
  readonly #sums: Uint32Array
  #at = 0
  #unsynced = 0

  private constructor(place: MemberPlace, path: string, temporary: string, handle: FileHandle) {
    this.#place = place
    this.#path = path
    this.#temporary = temporary
    this.#handle = handle
    this.#sums = new Uint32Array(blocksOf(place.size))
  }

  static async create(place: MemberPlace, path: string): Promise<MemberFileWriter> {
    const temporary = temporaryName(path)
    await makeDirectories(dirname(path))
    return new MemberFileWriter(place, path, temporary, await open(temporary, 'wx', 0o600))
  }

  /** Whole blocks, but for the last. What lies in no range is zero, and not written. */
  async write(piece: Buffer, ranges: readonly DataRange[]): Promise<void> {
    for (let at = 0; at < piece.length; at += sumBlockBytes)
      this.#sums[(this.#at + at) / sumBlockBytes] = crc32(piece.subarray(at, at + sumBlockBytes))
    for (const [start, end] of ranges) {
      for (let at = start; at < end;) {
        const { bytesWritten } = await this.#handle.write(piece, at, end - at, this.#at + at)
        at += bytesWritten
        this.#unsynced += bytesWritten
      }
    }
    this.#at += piece.length
    if (this.#unsynced >= syncBytes) await this.#sync()
  }

  /** As `write` of so many zeros. */
  skip(length: number): void {
    for (let at = 0; at < length; at += sumBlockBytes)
      this.#sums[(this.#at + at) / sumBlockBytes] = zeroSum(Math.min(sumBlockBytes, length - at))
    this.#at += length
  }

  /** Whole and on disk. Resolves to what it takes there. */
  async finish(): Promise<number> {
    await this.#handle.truncate(this.#place.size)
    await this.#sync()
    const { blocks } = await this.#handle.stat()
    await this.#handle.close()
    const sums = encodeSums(this.#place, this.#sums)
    // The sums first: a file under its name has some.
    await writeAtomically(sumsPath(this.#path), [sums], { durable: true })
    await rename(this.#temporary, this.#path)
    return blocks * 512 + sums.length
  }

  /** Nothing is left of it. */
  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => undefined)
    await unlink(this.#temporary).catch(() => undefined)
    await unlink(sumsPath(this.#path)).catch(() => undefined)
  }

  async #sync(): Promise<void> {
    await this.#handle.datasync()
    this.#unsynced = 0
  }
}
