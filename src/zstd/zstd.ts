/** libzstd in the addon, on its threads. */
import { spanFailure, zstdVerbs } from '../native.js'
import type { ZstdSpanRequest } from '../util/addon-verbs.js'
import { RegistryFsError } from '../util/errors.js'

/**
 * Fills `target` with what begins `skipBytes` behind the start of the frame that `input` begins with. CORRUPT when the
 * bytes are not what the request says, UNREADABLE when nobody can read files now.
 */
export async function decodeZstdSpan(request: ZstdSpanRequest, target: Buffer): Promise<void> {
  if (!Number.isSafeInteger(request.skipBytes) || request.skipBytes < 0)
    throw new RegistryFsError('INVALID', 'a span request is out of range')
  return new Promise((resolve, reject) => {
    zstdVerbs().decodeZstdSpan(request, target, (answer) => {
      if (answer === null) resolve()
      else reject(spanFailure('zstd', answer))
    })
  })
}

/** One frame, at the fastest level. */
export async function compressZstd(input: Buffer): Promise<Buffer> {
  // ZSTD_COMPRESSBOUND, rounded up.
  const target = Buffer.allocUnsafeSlow(input.length + (input.length >> 8) + 1024)
  return new Promise((resolve, reject) => {
    zstdVerbs().compressZstd(input, target, (answer) => {
      if (answer === null || typeof answer === 'string') reject(corrupt(answer ?? 'no answer'))
      else resolve(target.subarray(0, answer[0]))
    })
  })
}

/** A decoder that goes on where it stopped, from the start of a frame on. One call at a time. */
export class ZstdStream {
  readonly #stream = zstdVerbs().openZstdStream()
  /** Its window, mostly. */
  heldBytes = 0

  /** Resolves to how much of `input` was taken and how much of `target` was filled. */
  async decode(input: Buffer, target: Buffer): Promise<{ readonly taken: number; readonly made: number }> {
    return new Promise((resolve, reject) => {
      this.#stream.decode(input, target, (answer) => {
        if (answer === null || typeof answer === 'string') reject(corrupt(answer ?? 'no answer'))
        else {
          this.heldBytes = answer[2] ?? 0
          resolve({ taken: answer[0] ?? 0, made: answer[1] ?? 0 })
        }
      })
    })
  }

  /** Lets go of the window; nothing can be decoded afterwards. */
  close(): void {
    this.#stream.close()
  }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `zstd: ${reason}`)
}
