/**
 * Chunks on disk: DIRECTORY/<algorithm>/<hex>/<index>, one immutable unit file each (chunk-unit.ts), written to a
 * temporary name and renamed. A byte cap and a free-space reserve bound it; the least recently used unit goes first,
 * across restarts by file time. It may be slow or broken, never wrong and never fatal: a bad unit is deleted and
 * counts as a miss, a full or failing disk means that chunks are not kept.
 */
import { statSync, type Stats } from 'node:fs'
import { open, readdir, rm, statfs, unlink, utimes, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { digestAlgorithm, digestHex, tryParseDigest, type Digest } from '../util/digest.js'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { makeDirectories } from '../util/make-directories.js'
import { codeOf, isShortage } from '../util/unreadable.js'
import { temporaryPattern, writeAtomically } from './atomic-file.js'
import { decodeUnit, encodeUnitHeader, unitHeaderBytes } from './chunk-unit.js'

export interface DiskChunkStoreOptions {
  readonly directory: string
  readonly maximumBytes: number
  /** So much stays free on the file system, whoever uses it. */
  readonly freeReserveBytes: number
  readonly readOnly: boolean
  readonly log: Logger
}

/** In a file. */
export interface FilePlace {
  readonly path: string
  readonly offset: number
}

/** Room that was made, and what there is no more for: the cap, the free-space reserve, or a disk that refuses. */
export interface Room {
  readonly bytes: number
  readonly bound: 'cap' | 'reserve' | 'refused' | undefined
}

interface Unit {
  readonly digest: Digest
  readonly index: number
  /** Of the file. */
  readonly bytes: number
}

/** Free space is asked for once per so many bytes written: others fill the disk too, but not that fast. */
const freeCheckBytes = 32 << 20
const complainEveryMs = 60_000
/** File times carry the order of use over a restart; once an hour is exact enough. */
const touchEveryMs = 3_600_000

export class DiskChunkStore {
  readonly #options: DiskChunkStoreOptions
  /** Least recently used first. */
  readonly #units = new Map<string, Unit>()
  readonly #bytesOf = new Map<Digest, number>()
  readonly #touched = new Map<string, number>()
  /** Being written; what is thrown away meanwhile is not wanted when it comes. */
  readonly #writing = new Set<{ readonly digest: Digest; readonly index: number; isWanted: boolean }>()
  #usedBytes = 0
  #writtenSinceCheck = 0
  #freeBytes = 0
  /** False when it is to be looked at before the next write, whatever was written; who makes room goes on with what it knows. */
  #isFreeKnown = false
  #complainedAt = 0
  /** Set when the disk refused a write; a new try is made after a while. */
  #refusedUntil = 0
  #lastError: string | undefined
  /** The largest that could not be written since `lastError`. */
  #failedBytes = 0

  constructor(options: DiskChunkStoreOptions) {
    this.#options = options
  }

  /** Undefined once a chunk was kept since that is as large as those that were not. */
  get lastError(): string | undefined {
    return this.#lastError
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  bytesOf(digest: Digest): number {
    return this.#bytesOf.get(digest) ?? 0
  }

  has(digest: Digest, index: number): boolean {
    return this.#units.has(keyOf(digest, index))
  }

  /** Payload bytes of a unit; undefined where there is none. */
  payloadBytesOf(digest: Digest, index: number): number | undefined {
    const unit = this.#units.get(keyOf(digest, index))
    return unit === undefined ? undefined : unit.bytes - unitHeaderBytes
  }

  /** Learns what an earlier process left, oldest first, and deletes its unfinished files where this one writes now. */
  async scan(isWriter = !this.#options.readOnly): Promise<void> {
    if (isWriter) {
      await makeDirectories(this.#options.directory).catch((error: unknown) => {
        this.#complain('the chunk cache cannot be made, going on without it', error)
      })
    }
    const found: (Unit & { readonly usedAtMs: number })[] = []
    for (const algorithm of await namesIn(this.#options.directory)) {
      for (const hex of await namesIn(join(this.#options.directory, algorithm))) {
        const digest = tryParseDigest(`${algorithm}:${hex}`)
        if (digest === undefined) continue
        for (const name of await namesIn(join(this.#options.directory, algorithm, hex))) {
          const path = join(this.#options.directory, algorithm, hex, name)
          if (temporaryPattern.test(name)) {
            if (isWriter) await unlink(path).catch(() => undefined)
            continue
          }
          const status = statusOf(path)
          const index = /^\d{1,9}$/.test(name) ? Number(name) : undefined
          if (status?.isFile() !== true || index === undefined) continue
          found.push({ digest, index, bytes: status.size, usedAtMs: status.mtimeMs })
        }
      }
    }
    for (const key of [...this.#units.keys()]) this.#forget(key)
    found.sort((a, b) => a.usedAtMs - b.usedAtMs)
    for (const { digest, index, bytes, usedAtMs } of found) this.#remember({ digest, index, bytes }, usedAtMs)
  }

  /** Undefined: not there, not intact, or not to be read now. */
  async load(digest: Digest, index: number, payloadBytes: number): Promise<Buffer | undefined> {
    const key = keyOf(digest, index)
    const unit = this.#units.get(key)
    if (unit === undefined) return undefined
    const path = this.#path(digest, index)
    const bytes = await readUnit(path, unitHeaderBytes + payloadBytes).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') this.#complain('reading a cached chunk failed', error)
      return isShortage(error) ? ('not now' as const) : undefined
    })
    if (bytes === 'not now') return undefined
    const payload = bytes === undefined ? undefined : decodeUnit(bytes, digest, index, payloadBytes)
    if (payload === undefined) {
      if (bytes !== undefined) this.#options.log.warn({ path }, 'a cached chunk is damaged, dropping it')
      await this.remove(digest, index)
      return undefined
    }
    this.#used(key, unit, path)
    return payload
  }

  /** Where the chunk's bytes lie, as far as is known without looking: for who checks what it reads there. */
  place(digest: Digest, index: number): FilePlace | undefined {
    const key = keyOf(digest, index)
    const unit = this.#units.get(key)
    if (unit === undefined) return undefined
    const path = this.#path(digest, index)
    this.#used(key, unit, path)
    return { path, offset: unitHeaderBytes }
  }

  /** True when the chunk is on disk afterwards. */
  async save(digest: Digest, index: number, payload: Buffer): Promise<boolean> {
    if (this.#options.readOnly || Date.now() < this.#refusedUntil) return false
    const key = keyOf(digest, index)
    if (this.#units.has(key)) return true
    const bytes = unitHeaderBytes + payload.length
    const writing = { digest, index, isWanted: true }
    this.#writing.add(writing)
    try {
      if (!(await this.#makeRoom(bytes))) return false
      await writeAtomically(this.#path(digest, index), [encodeUnitHeader(digest, index, payload), payload])
    } catch (error) {
      // A directory that was thrown away in the middle is no broken disk.
      if (!writing.isWanted) return false
      this.#refusedUntil = Date.now() + 10_000
      this.#isFreeKnown = false
      this.#complain('the chunk cache cannot be written, going on without it', error, bytes)
      return false
    } finally {
      this.#writing.delete(writing)
    }
    if (!writing.isWanted) {
      await unlink(this.#path(digest, index)).catch(() => undefined)
      return false
    }
    if (!this.#units.has(key)) this.#remember({ digest, index, bytes }, Date.now())
    this.#writtenSinceCheck += bytes
    if (bytes >= this.#failedBytes) {
      this.#lastError = undefined
      this.#failedBytes = 0
    }
    return true
  }

  async remove(digest: Digest, index: number): Promise<void> {
    for (const each of this.#writing)
      if (each.digest === digest && each.index === index) each.isWanted = false
    const unit = this.#forget(keyOf(digest, index))
    if (unit !== undefined && !this.#options.readOnly)
      await unlink(this.#path(digest, index)).catch(() => undefined)
  }

  /** All chunks of a blob whose bytes turned out to be wrong. */
  async removeBlob(digest: Digest): Promise<void> {
    for (const each of this.#writing) if (each.digest === digest) each.isWanted = false
    for (const [key, unit] of this.#units) if (unit.digest === digest) this.#forget(key)
    if (!this.#options.readOnly)
      await rm(this.#blobDirectory(digest), { recursive: true, force: true }).catch(() => undefined)
  }

  /** For as many of `bytes`, of files, as there can be room for without throwing out anything of `kept`. */
  async makeRoomBeside(kept: ReadonlySet<Digest>, bytes: number): Promise<Room> {
    const { maximumBytes, freeReserveBytes, readOnly } = this.#options
    if (readOnly || Date.now() < this.#refusedUntil) return { bytes: 0, bound: 'refused' }
    try {
      await this.#lookForSpace()
    } catch (error) {
      this.#complain('the chunk cache cannot be looked at', error)
      return { bytes: 0, bound: 'refused' }
    }
    const others = [...this.#units.values()].filter(({ digest }) => !kept.has(digest))
    const otherBytes = others.reduce((sum, unit) => sum + unit.bytes, 0)
    const belowCap = maximumBytes - this.#usedBytes + otherBytes
    const aboveReserve = this.#freeBytes - freeReserveBytes + otherBytes
    const room = Math.max(0, Math.min(bytes, belowCap, aboveReserve))
    for (const unit of others) {
      if (this.#missingFor(room) <= 0) break
      await this.#throwOut(unit)
    }
    if (room === bytes) return { bytes, bound: undefined }
    return { bytes: room, bound: belowCap <= aboveReserve ? 'cap' : 'reserve' }
  }

  /** False when the unit does not fit: larger than the cap, or the reserve cannot be kept. */
  async #makeRoom(bytes: number): Promise<boolean> {
    if (bytes > this.#options.maximumBytes) return false
    if (!this.#isFreeKnown || this.#writtenSinceCheck >= freeCheckBytes) await this.#lookForSpace()
    while (this.#missingFor(bytes) > 0) {
      const oldest = this.#units.values().next().value
      if (oldest === undefined) {
        this.#complain(
          'no chunk can be cached',
          new Error('the disk has no more free space than the reserve'),
          bytes,
        )
        this.#isFreeKnown = false
        return false
      }
      await this.#throwOut(oldest)
    }
    return true
  }

  async #lookForSpace(): Promise<void> {
    const status = await statfs(this.#options.directory)
    this.#freeBytes = status.bavail * status.bsize
    this.#writtenSinceCheck = 0
    this.#isFreeKnown = true
  }

  /** How many bytes must go before so many more are within both bounds. */
  #missingFor(bytes: number): number {
    const { maximumBytes, freeReserveBytes } = this.#options
    return Math.max(
      this.#usedBytes + bytes - maximumBytes,
      freeReserveBytes + this.#writtenSinceCheck + bytes - this.#freeBytes,
    )
  }

  async #throwOut({ digest, index, bytes }: Unit): Promise<void> {
    await this.remove(digest, index)
    this.#freeBytes += bytes
  }

  #remember(unit: Unit, usedAtMs: number): void {
    const key = keyOf(unit.digest, unit.index)
    this.#units.set(key, unit)
    this.#touched.set(key, usedAtMs)
    this.#usedBytes += unit.bytes
    this.#bytesOf.set(unit.digest, this.bytesOf(unit.digest) + contentBytes(unit))
  }

  #forget(key: string): Unit | undefined {
    const unit = this.#units.get(key)
    if (unit === undefined) return undefined
    this.#units.delete(key)
    this.#touched.delete(key)
    this.#usedBytes -= unit.bytes
    const left = this.bytesOf(unit.digest) - contentBytes(unit)
    if (left > 0) this.#bytesOf.set(unit.digest, left)
    else this.#bytesOf.delete(unit.digest)
    return unit
  }

  #used(key: string, unit: Unit, path: string): void {
    // Unless it was dropped meanwhile.
    if (!this.#units.delete(key)) return
    this.#units.set(key, unit)
    this.#touch(key, path)
  }

  #touch(key: string, path: string): void {
    const now = Date.now()
    if (this.#options.readOnly || now - (this.#touched.get(key) ?? 0) < touchEveryMs) return
    this.#touched.set(key, now)
    utimes(path, now / 1000, now / 1000).catch(() => undefined)
  }

  #complain(what: string, error: unknown, bytes = 0): void {
    this.#failedBytes = Math.max(this.#failedBytes, bytes)
    this.#lastError = `${what}: ${describeError(error)}`
    const now = Date.now()
    if (now - this.#complainedAt < complainEveryMs) return
    this.#complainedAt = now
    this.#options.log.warn({ reason: describeError(error) }, what)
  }

  #blobDirectory(digest: Digest): string {
    return join(this.#options.directory, digestAlgorithm(digest), digestHex(digest))
  }

  #path(digest: Digest, index: number): string {
    return join(this.#blobDirectory(digest), String(index))
  }
}

function keyOf(digest: Digest, index: number): string {
  return `${digest}:${String(index)}`
}

/** Synchronously: a mount waits for thousands of these, and each by way of another thread takes six times as long. */
function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => [])
}

/** The whole file when it has exactly `bytes` bytes, else undefined. */
async function readUnit(path: string, bytes: number): Promise<Buffer | undefined> {
  const handle = await open(path, 'r')
  try {
    // One byte more than expected: a longer file shows itself without a stat.
    const buffer = Buffer.allocUnsafeSlow(bytes + 1)
    return (await fill(handle, buffer, 0)) === bytes ? buffer.subarray(0, bytes) : undefined
  } finally {
    await handle.close()
  }
}

function contentBytes({ bytes }: Unit): number {
  return Math.max(0, bytes - unitHeaderBytes)
}

/** Resolves to how much of `target` the file had from `offset`. */
async function fill(handle: FileHandle, target: Buffer, offset: number): Promise<number> {
  let filled = 0
  while (filled < target.length) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}
