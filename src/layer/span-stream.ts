import { spanVerbs } from '../native.js'
import type { SpanStreamRequest } from '../util/addon-verbs.js'
import { RegistryFsError } from '../util/errors.js'

/** Inflates forward from a seek point on, wherever the input is cut, on the addon's threads. One call at a time. */
export class SpanStream {
  readonly #stream = spanVerbs().openSpanStream()
  /** Of all that came out, thrown away or not. */
  crc32 = 0

  async begin(request: SpanStreamRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.begin(request, (answer) => {
        if (typeof answer === 'string') reject(corrupt(answer))
        else resolve()
      })
    })
  }

  /**
   * Throws up to `skipBytes` away, then fills `target`, as far as `input` goes: resolves to how much of each was taken,
   * skipped and made. CORRUPT when the bytes are not deflate.
   */
  async decode(
    input: Buffer,
    skipBytes: number,
    target: Buffer,
  ): Promise<{ readonly taken: number; readonly skipped: number; readonly made: number }> {
    return new Promise((resolve, reject) => {
      this.#stream.decode(input, skipBytes, target, (answer) => {
        if (answer === null || typeof answer === 'string') reject(corrupt(answer ?? 'no answer'))
        else {
          const [taken = 0, skipped = 0, made = 0, crc32 = 0] = answer
          this.crc32 = crc32
          resolve({ taken, skipped, made })
        }
      })
    })
  }

  /** Nothing can be decoded afterwards. */
  close(): void {
    this.#stream.close()
  }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `gzip: ${reason}`)
}
