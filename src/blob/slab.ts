import { allocateLarge } from '../native.js'

/** Sizes are rounded up to this: spans differ by little. */
export const grainBytes = 128 << 10
export const slabBytes = 32 << 20

/** Memory that is handed out in runs of whole grains, each where it fits first. */
export class Slab {
  readonly #memory = allocateLarge(slabBytes)
  readonly #isTaken = new Uint8Array(slabBytes / grainBytes)
  #takenGrains = 0

  get isEmpty(): boolean {
    return this.#takenGrains === 0
  }

  /** `bytes`: whole grains. Undefined where nothing so long is free. */
  take(bytes: number): Buffer | undefined {
    const wanted = bytes / grainBytes
    if (wanted > this.#isTaken.length - this.#takenGrains) return undefined
    let run = 0
    for (let i = 0; i < this.#isTaken.length; i++) {
      run = this.#isTaken[i] === 0 ? run + 1 : 0
      if (run < wanted) continue
      const start = i + 1 - wanted
      this.#mark(start, wanted, 1)
      return this.#memory.subarray(start * grainBytes, start * grainBytes + bytes)
    }
    return undefined
  }

  /** What `take` gave. */
  give(memory: Buffer): void {
    const start = (memory.byteOffset - this.#memory.byteOffset) / grainBytes
    this.#mark(start, memory.length / grainBytes, 0)
  }

  #mark(start: number, grains: number, taken: 0 | 1): void {
    this.#isTaken.fill(taken, start, start + grains)
    this.#takenGrains += taken === 1 ? grains : -grains
  }
}
