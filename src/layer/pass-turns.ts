/**
 * Which first passes run. Two at a time, for each keeps a core busy, in the order in which they were asked for, but those
 * that somebody needs before those whose readers have gone. Nobody waits long for what others have started:
 *
 * - A pass that nobody needs any more stops when one that somebody needs waits, as at the end of a mount: its journal
 *   goes on from the last checkpoint, so 32 MiB of tar are lost at most (all of it where there is no cache directory
 *   to write to). Where nobody waits it runs to its end.
 * - Passes that are needed run to their ends, however long, for what they have read so far is read by others. One that
 *   has waited for three seconds gets a turn of its own beside two of them. There is one such turn: memory is bounded.
 */
import type { MemoryCache } from '../blob/memory-cache.js'
import { RegistryFsError } from '../util/errors.js'
import type { Demand } from './demand.js'
import { passBytes } from './pass-sizes.js'

const usual = { concurrent: 2, patienceMs: 3_000, lookMs: 250 } as const

export type PassTurnsOptions = { readonly [option in keyof typeof usual]: number }

export class PassTurn {
  readonly demand: Demand
  readonly #controller = new AbortController()
  /** How far its work has come. */
  progress = (): number => 0
  /** Others need the turn. */
  isStopped = false

  constructor(demand: Demand) {
    this.demand = demand
  }

  /** Aborts when others need the turn, and when whoever has it is closed. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  stop(): void {
    this.isStopped = true
    this.abort(new RegistryFsError('ABORTED', 'other layers are needed first'))
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }
}

interface Waiting {
  readonly turn: PassTurn
  readonly since: number
  readonly start: () => void
}

export class PassTurns {
  readonly #options: PassTurnsOptions
  readonly #waiting: Waiting[] = []
  readonly #running = new Set<PassTurn>()
  /** Of turns that have ended. */
  #progress = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: Partial<PassTurnsOptions> = {}) {
    this.#options = { ...usual, ...options }
  }

  /**
   * Runs `work` once it is its turn; what a pass holds is taken from `memory` meanwhile. `closing` outlives many turns, so
   * that AbortSignal.any would keep them all.
   */
  async run<T>(
    demand: Demand,
    memory: MemoryCache,
    work: (turn: PassTurn) => Promise<T>,
    closing?: AbortSignal,
  ): Promise<T> {
    const turn = new PassTurn(demand)
    await new Promise<void>((start) => {
      this.#waiting.push({ turn, since: performance.now(), start })
      this.#look()
    })
    const giveBack = memory.reserve(passBytes)
    const onClosing = (): void => {
      turn.abort(closing?.reason)
    }
    if (closing?.aborted === true) onClosing()
    closing?.addEventListener('abort', onClosing)
    try {
      return await work(turn)
    } finally {
      closing?.removeEventListener('abort', onClosing)
      giveBack()
      this.#running.delete(turn)
      this.#progress += turn.progress() + 1
      this.#look()
    }
  }

  /** How far those have come that who waits with this demand waits for; undefined when it does not. */
  progressFor(demand: Demand): number | undefined {
    if (!this.#waiting.some(({ turn }) => turn.demand === demand)) return undefined
    return [...this.#running].reduce((sum, turn) => sum + turn.progress(), this.#progress)
  }

  #look(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      this.#running.add(next.turn)
      next.start()
    }
    const running = [...this.#running]
    const needed = this.#waiting.filter(({ turn }) => turn.demand.isThere).length
    const stopping = running.filter(({ signal }) => signal.aborted).length
    const dispensable = running.filter(({ signal, demand }) => !signal.aborted && !demand.isThere)
    for (const turn of dispensable.slice(0, Math.max(0, needed - stopping))) turn.stop()
    clearTimeout(this.#timer)
    if (this.#waiting.length === 0) return
    this.#timer = setTimeout(() => {
      this.#look()
    }, this.#options.lookMs)
  }

  #next(): Waiting | undefined {
    const { concurrent, patienceMs } = this.#options
    const needed = this.#waiting.find(({ turn }) => turn.demand.isThere)
    if (this.#running.size < concurrent) return needed ?? this.#waiting[0]
    if (needed === undefined || this.#running.size > concurrent) return undefined
    return performance.now() - needed.since >= patienceMs ? needed : undefined
  }
}
