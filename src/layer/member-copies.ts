/**
 * Keeps members that are read as files of their own (`--materialize`). Policy: a member of 1 MiB and more of which
 * somebody has read 1 MiB through one handle is copied, once its layer is proven, from start to end and one member at a time. Readers go
 * first: while any read, a piece waits for up to a quarter of a second. A piece that is in memory is taken from there, the others
 * are inflated once more: holding or writing what readers inflate would cost them more than it saves. Whatever goes wrong,
 * the member goes on being read from its layer.
 */
import type { BufferPool } from '../blob/buffer-pool.js'
import type { MemberFileStore } from '../blob/member-file-store.js'
import type { MemberFile } from '../blob/member-file.js'
import type { DataRange, MemberFileWriter } from '../blob/member-file-writer.js'
import { memberKey, type MemberPlace } from '../blob/member-sums.js'
import { seekSource } from '../blob/seek.js'
import type { ByteSource } from '../blob/source.js'
import { sleep, throwIfAborted, type ReadOptions } from '../util/abort.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { Semaphore } from '../util/semaphore.js'
import { CopiedSource } from './copied-source.js'

/** In status.json. */
export interface MemberCopiesStatus {
  readonly files: number
  readonly bytes: number
  readonly maximumBytes: number
  /** In this process. */
  readonly copied: number
  /** Copied or checked at present, or about to be. */
  readonly pending: number
  /** Of members that had a file. */
  readonly opens: number
  /** Of these, those that the kernel reads by itself. */
  readonly passthroughOpens: number
  readonly error: string | undefined
}

export interface MemberCopiesOptions {
  readonly store: MemberFileStore
  /** Of the piece that is being copied. */
  readonly pool: BufferPool
  readonly log: Logger
}

/** A layer as far as its members are copied. */
export interface CopyableLayer {
  readonly isProven: boolean
  /** Offsets are those of a tar that the layer's digest speaks of; a table of contents could say anything. */
  readonly isTar: boolean
  ready(options: ReadOptions): Promise<unknown>
}

/** Opened for reading. */
export interface OpenedMember {
  readonly place: MemberPlace
  readonly layer: CopyableLayer
  readonly source: ByteSource
  /** Throws GONE where the layer has another member there by now: it was opened before the layer was proven. */
  readonly settle: (options: ReadOptions) => Promise<void>
  /** What of it is no hole; asked for once the layer was read. */
  readonly dataBytes: () => number
}

const smallestBytes = 1 << 20
/** Read by one handle. */
const wantedBytes = 1 << 20
/** The longest span. */
const pieceBytes = 4 << 20
/** Of the file system: no smaller hole is worth a write of its own. */
const grainBytes = 4096
const quietMs = 100
const longestPauseMs = 250
const lookMs = 25

export class MemberCopies {
  readonly #options: MemberCopiesOptions
  readonly #turns = new Semaphore(1)
  /** Being copied or checked, or about to be. */
  readonly #running = new Map<string, Promise<void>>()
  readonly #open = new Map<string, Set<CopiedSource>>()
  readonly #closing = new AbortController()
  #lastReadAt = Number.NEGATIVE_INFINITY
  #copied = 0
  #opens = 0
  #passthroughOpens = 0

  constructor(options: MemberCopiesOptions) {
    this.#options = options
  }

  /** To be released. */
  async open(member: OpenedMember): Promise<ByteSource> {
    const { place, layer, source } = member
    if (place.size < smallestBytes || !layer.isTar) return source
    const key = memberKey(place)
    let left = wantedBytes
    const opened = new CopiedSource({
      source,
      onRead: (bytes) => {
        this.#lastReadAt = performance.now()
        if (left > 0 && (left -= bytes) <= 0) this.#want(key, member)
      },
      onWanted: () => {
        this.#start(key, async () => this.#check(place))
      },
      onPassthrough: () => this.#passthroughOpens++,
      onRelease: () => {
        const others = this.#open.get(key)
        if (others?.delete(opened) === true && others.size === 0) this.#open.delete(key)
      },
    })
    const all = this.#open.get(key) ?? new Set()
    this.#open.set(key, all.add(opened))
    const file = layer.isProven ? await this.#options.store.acquire(place) : undefined
    if (file === undefined) return opened
    this.#opens++
    opened.take(file)
    return opened
  }

  /** For status.json. */
  status(): MemberCopiesStatus {
    const { store } = this.#options
    return {
      files: store.count,
      bytes: store.usedBytes,
      maximumBytes: store.maximumBytes,
      copied: this.#copied,
      pending: this.#running.size,
      opens: this.#opens,
      passthroughOpens: this.#passthroughOpens,
      error: store.lastError,
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new RegistryFsError('ABORTED', 'registryfs is stopping'))
    await Promise.all(this.#running.values())
  }

  #want(key: string, member: OpenedMember): void {
    if (this.#options.store.has(member.place)) return
    this.#start(key, async () => {
      // Its pass may take an hour: others need not wait for that.
      const options = { signal: this.#closing.signal }
      await member.layer.ready(options)
      await member.settle(options)
      if (member.layer.isProven && member.layer.isTar)
        await this.#turns.run(async () => this.#copy(key, member))
    })
  }

  #start(key: string, work: () => Promise<void>): void {
    if (this.#running.has(key) || this.#closing.signal.aborted) return
    const running = work()
      .catch((error: unknown) => {
        if (!hasCode(error, 'ABORTED'))
          this.#options.log.info(
            { member: key, reason: describeError(error) },
            'a member is not kept as a file',
          )
      })
      .finally(() => this.#running.delete(key))
    this.#running.set(key, running)
  }

  async #copy(key: string, { place, source, dataBytes }: OpenedMember): Promise<void> {
    throwIfAborted(this.#closing.signal)
    const { store, pool, log } = this.#options
    const writer = await store.create(place, dataBytes())
    if (writer === undefined) return
    const started = performance.now()
    try {
      await pool.lend(pieceBytes, async (scratch) => this.#fill(writer, source, scratch))
      await this.#whileWriting(store.finish(place, writer))
    } catch (error) {
      await writer.abandon()
      throw error
    }
    this.#copied++
    log.info({ member: key, ms: Math.round(performance.now() - started) }, 'a member is kept as a file')
    for (const opened of this.#open.get(key) ?? []) {
      const file = await store.acquire(place)
      if (file !== undefined) opened.take(file)
    }
  }

  async #fill(writer: MemberFileWriter, source: ByteSource, scratch: Buffer): Promise<void> {
    const { signal } = this.#closing
    for (let at = 0; at < source.size; at += pieceBytes) {
      throwIfAborted(signal)
      const end = Math.min(at + pieceBytes, source.size)
      const ranges = await dataRanges(source, at, end, signal)
      if (ranges.length === 0) {
        writer.skip(end - at)
        continue
      }
      await this.#giveWay()
      const piece = await source.read(at, end - at, { signal, scratch })
      if (piece.length < end - at) throw new RegistryFsError('CORRUPT', 'the member is cut off')
      await this.#whileWriting(writer.write(piece, ranges))
    }
  }

  /** A disk that is full or fails is no good for the next one either. */
  async #whileWriting(writing: Promise<void>): Promise<void> {
    try {
      await writing
    } catch (error) {
      this.#options.store.refuse('members cannot be kept as files, going on without', error)
      throw error
    }
  }

  async #check(place: MemberPlace): Promise<void> {
    await this.#turns.run(async () => {
      const file: MemberFile | undefined = await this.#options.store.acquire(place)
      try {
        await file?.verify(async () => this.#giveWay(), this.#closing.signal)
      } finally {
        file?.release()
      }
    })
  }

  /** To those who read. */
  async #giveWay(): Promise<void> {
    const until = performance.now() + longestPauseMs
    while (performance.now() < Math.min(until, this.#lastReadAt + quietMs))
      await sleep(lookMs, this.#closing.signal)
  }
}

/** Of [start, end), from `start` on, as far as they lie in blocks of their own. */
async function dataRanges(
  source: ByteSource,
  start: number,
  end: number,
  signal: AbortSignal,
): Promise<readonly DataRange[]> {
  const ranges: [start: number, end: number][] = []
  for (let at = start; at < end;) {
    const data = await seekSource(source, 'data', at, end, { signal })
    if (data >= end) break
    at = await seekSource(source, 'hole', data, end, { signal })
    const last = ranges.at(-1)
    const from = Math.floor((data - start) / grainBytes) * grainBytes
    const until = Math.min(Math.ceil((at - start) / grainBytes) * grainBytes, end - start)
    if (last !== undefined && from <= last[1]) last[1] = until
    else ranges.push([from, until])
  }
  return ranges
}
