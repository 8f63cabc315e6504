/** A reader's requests come a few at a time. */
const maxKept = 4

/** Buffers of one size, used again: memory that is made anew for each read costs more than filling it. */
export class ScratchPool {
  readonly #bytes: number
  readonly #free: Buffer[] = []

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
  }

  /** Only by who is sure that nobody writes to it any more. */
  give(buffer: Buffer): void {
    if (this.#free.length < maxKept) this.#free.push(buffer)
  }
}
