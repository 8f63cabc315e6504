/**
 * Members of layers as sparse files: DIRECTORY/<algorithm>/<hex of the layer>/<offset>-<size>, with checksums beside each
 * (member-sums.ts), under a cap of their own and the free-space reserve. The least recently used goes first, across
 * restarts by file time, never one that is in use. It may be slow or broken, never wrong and never fatal.
 */
import { readdir, stat, statfs, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { digestAlgorithm, digestHex, tryParseDigest } from '../util/digest.js'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { makeDirectories } from '../util/make-directories.js'
import { temporaryPattern } from './atomic-file.js'
import type { BufferPool } from './buffer-pool.js'
import { MemberFile, sumsPath } from './member-file.js'
import { MemberFileWriter } from './member-file-writer.js'
import { blocksOf, largestMemberBytes, memberKey, type MemberPlace } from './member-sums.js'

export interface MemberFileStoreOptions {
  readonly directory: string
  readonly maximumBytes: number
  /** So much stays free on the file system, whoever uses it. */
  readonly freeReserveBytes: number
  readonly readOnly: boolean
  /** Of what is read to be checked. */
  readonly pool: BufferPool
  readonly log: Logger
}

/** A disk that refused is left alone for so long. */
const refusedMs = 60_000
/** File times carry the order of use over a restart; once an hour is exact enough. */
const touchEveryMs = 3_600_000
const namePattern = /^(\d{1,16})-(\d{1,16})$/

export class MemberFileStore {
  readonly #options: MemberFileStoreOptions
  /** Least recently used first. */
  readonly #files = new Map<string, MemberFile>()
  readonly #touched = new Map<string, number>()
  #usedBytes = 0
  #refusedUntil = 0
  /** Of files that were dropped: none of theirs may go that was written again meanwhile. */
  #deleting: Promise<void> = Promise.resolve()
  #lastError: string | undefined

  constructor(options: MemberFileStoreOptions) {
    this.#options = options
  }

  /** Undefined once a member was kept since. */
  get lastError(): string | undefined {
    return this.#lastError
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get count(): number {
    return this.#files.size
  }

  get maximumBytes(): number {
    return this.#options.maximumBytes
  }

  has(place: MemberPlace): boolean {
    return this.#files.has(memberKey(place))
  }

  /** Learns what an earlier process left, oldest first, and deletes what it did not finish. */
  async scan(): Promise<void> {
    const { directory, readOnly } = this.#options
    if (!readOnly) {
      await makeDirectories(directory).catch((error: unknown) => {
        this.#complain('no place for members', error)
      })
    }
    const found: (readonly [usedAtMs: number, file: MemberFile])[] = []
    for (const algorithm of await namesIn(directory)) {
      for (const hex of await namesIn(join(directory, algorithm))) {
        const layer = tryParseDigest(`${algorithm}:${hex}`)
        if (layer === undefined) continue
        const folder = join(directory, algorithm, hex)
        const names = new Set(await namesIn(folder))
        for (const name of names) {
          const [, offset, size] = namePattern.exec(name) ?? []
          const isWhole = offset !== undefined && names.has(sumsPath(name))
          if (!isWhole && isLeftOver(name, names) && !readOnly) {
            await unlink(join(folder, name)).catch(() => undefined)
          }
          const status = isWhole ? await stat(join(folder, name)).catch(() => undefined) : undefined
          if (status?.isFile() !== true) continue
          const place = { layer, offset: Number(offset), size: Number(size) }
          found.push([status.mtimeMs, this.#fileOf(place, diskBytes(place, status.blocks), false)])
        }
      }
    }
    found.sort(([a], [b]) => a - b)
    for (const [usedAtMs, file] of found) this.#remember(file, usedAtMs)
    await this.#evict(0)
  }

  /** To be released. Undefined: not there, or not intact. */
  async acquire(place: MemberPlace): Promise<MemberFile | undefined> {
    const key = memberKey(place)
    const file = this.#files.get(key)
    if (file === undefined || !(await file.acquire())) return undefined
    this.#used(key, file)
    return file
  }

  /** Room for so many bytes and a file to write them to; undefined where that cannot be. One at a time. */
  async create(place: MemberPlace, dataBytes: number): Promise<MemberFileWriter | undefined> {
    if (this.#options.readOnly || this.has(place) || place.size > largestMemberBytes) return undefined
    if (Date.now() < this.#refusedUntil) return undefined
    const bytes = diskBytes(place, Math.ceil(dataBytes / 512))
    await this.#deleting
    try {
      if (await this.#makeRoom(bytes)) return await MemberFileWriter.create(place, this.#path(place))
    } catch (error) {
      this.refuse('members cannot be kept as files, going on without', error)
    }
    return undefined
  }

  /** What `create` gave is whole now. */
  async finish(place: MemberPlace, writer: MemberFileWriter): Promise<void> {
    const bytes = await writer.finish()
    this.#lastError = undefined
    this.#remember(this.#fileOf(place, bytes, true), Date.now())
    await this.#evict(0)
  }

  /** The disk does not take what it is given. */
  refuse(what: string, error: unknown): void {
    this.#refusedUntil = Date.now() + refusedMs
    this.#complain(what, error)
  }

  /** False: nothing was thrown away, for it would not do. */
  async #makeRoom(bytes: number): Promise<boolean> {
    const { maximumBytes, freeReserveBytes, directory, log } = this.#options
    const inUse = [...this.#files.values()].filter((file) => file.isInUse)
    const leastBytes = inUse.reduce((sum, file) => sum + file.bytes, 0)
    if (leastBytes + bytes > maximumBytes) {
      log.info(
        { bytes, maximumBytes, inUse: leastBytes },
        'a member is not kept as a file: the quota is too small',
      )
      return false
    }
    const { bavail, bsize } = await statfs(directory)
    const missing = freeReserveBytes + bytes - bavail * bsize
    if (missing > this.#usedBytes - leastBytes)
      throw new Error('the disk has no more free space than the reserve')
    await this.#evict(Math.max(missing, this.#usedBytes + bytes - maximumBytes))
    return true
  }

  /** So much at least, and what is beyond the cap. */
  async #evict(bytes: number): Promise<void> {
    if (this.#options.readOnly) return
    const goal = Math.min(this.#usedBytes - bytes, this.#options.maximumBytes)
    for (const [key, file] of [...this.#files]) {
      if (this.#usedBytes <= goal) return
      if (!file.isInUse) await this.#remove(key, file)
    }
  }

  #fileOf(place: MemberPlace, bytes: number, isTrusted: boolean): MemberFile {
    const { pool, log } = this.#options
    const onDamage = (file: MemberFile, reason: string | undefined): void => {
      if (reason !== undefined)
        log.warn({ path: file.path, reason }, "a member's file is damaged, dropping it")
      void this.#remove(memberKey(place), file)
    }
    return new MemberFile({ place, path: this.#path(place), bytes, isTrusted, pool, onDamage })
  }

  #remember(file: MemberFile, usedAtMs: number): void {
    const key = memberKey(file.place)
    this.#files.set(key, file)
    this.#touched.set(key, usedAtMs)
    this.#usedBytes += file.bytes
  }

  async #remove(key: string, file: MemberFile): Promise<void> {
    if (this.#files.get(key) !== file) return
    this.#files.delete(key)
    this.#touched.delete(key)
    this.#usedBytes -= file.bytes
    if (this.#options.readOnly) return
    this.#deleting = this.#deleting.then(async () => {
      for (const path of [file.path, sumsPath(file.path)]) await unlink(path).catch(() => undefined)
    })
    await this.#deleting
  }

  #used(key: string, file: MemberFile): void {
    // Unless it was dropped meanwhile.
    if (this.#files.get(key) !== file) return
    this.#files.delete(key)
    this.#files.set(key, file)
    const now = Date.now()
    if (this.#options.readOnly || now - (this.#touched.get(key) ?? 0) < touchEveryMs) return
    this.#touched.set(key, now)
    utimes(file.path, now / 1000, now / 1000).catch(() => undefined)
  }

  #complain(what: string, error: unknown): void {
    this.#lastError = `${what}: ${describeError(error)}`
    this.#options.log.warn({ reason: describeError(error) }, what)
  }

  #path({ layer, offset, size }: MemberPlace): string {
    const name = `${String(offset)}-${String(size)}`
    return join(this.#options.directory, digestAlgorithm(layer), digestHex(layer), name)
  }
}

/** Of a file of so many units of 512 bytes, with its sums. */
function diskBytes(place: MemberPlace, blocks: number): number {
  return blocks * 512 + 4 * blocksOf(place.size)
}

/** Unfinished, or content without sums, or the other way round. */
function isLeftOver(name: string, names: ReadonlySet<string>): boolean {
  if (temporaryPattern.test(name)) return true
  const content = name.replace(/\.sums$/, '')
  return namePattern.test(content) && !(names.has(content) && names.has(sumsPath(content)))
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch(() => [])
}
