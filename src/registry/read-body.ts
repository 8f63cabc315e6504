import { RegistryFsError } from '../util/errors.js'
import { headerOf, type HttpResponse } from './transport.js'

/** The whole body; LIMIT as soon as it is known to be longer than `limitBytes`. */
export async function readBody(response: HttpResponse, limitBytes: number, what: string): Promise<Buffer> {
  const tooLong = (): RegistryFsError =>
    new RegistryFsError('LIMIT', `${what}: the answer is longer than ${String(limitBytes)} bytes`)
  const announced = Number(headerOf(response, 'content-length') ?? 0)
  if (announced > limitBytes) {
    response.body.discard()
    throw tooLong()
  }
  const chunks: Buffer[] = []
  let total = 0
  await response.body.consume((chunk) => {
    total += chunk.length
    if (total > limitBytes) throw tooLong()
    chunks.push(Buffer.from(chunk))
    return true
  })
  return Buffer.concat(chunks, total)
}

/** What there is of the body up to a limit, for error messages. Never throws but for an aborted signal's sake. */
export async function readBodyStart(response: HttpResponse, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let left = limitBytes
  try {
    const outcome = await response.body.consume((chunk) => {
      chunks.push(Buffer.from(chunk.subarray(0, left)))
      left -= chunk.length
      return left > 0
    })
    if (outcome === 'stopped') response.body.discard()
  } catch {
    // The status is known; an incomplete explanation is good enough.
  }
  return Buffer.concat(chunks)
}

/** More of a refusal nobody reads. */
const detachedBytes = 64 * 1024

/** The same answer with the start of its body in memory: it holds no connection any more. */
export async function detached(response: HttpResponse): Promise<HttpResponse> {
  const bytes = await readBodyStart(response, detachedBytes)
  return {
    ...response,
    body: {
      consume: async (sink) => {
        sink(bytes)
        return Promise.resolve('ended')
      },
      discard: () => undefined,
    },
  }
}
