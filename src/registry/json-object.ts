import { RegistryFsError } from '../util/errors.js'

/** A JSON object from the other side: every field is still to be checked. */
export type JsonObject = Readonly<Record<string, unknown>>

/** Throws PROTOCOL unless `bytes` are a JSON object. */
export function parseObject(bytes: Buffer, what: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    const isPage = /^\s*</.test(bytes.toString('latin1', 0, 64))
    const reason = isPage ? 'the answer is a web page' : 'the answer is not JSON'
    throw new RegistryFsError('PROTOCOL', `${what}: ${reason}: there is no registry at this address`, {
      cause,
    })
  }
  if (!isObject(value)) throw new RegistryFsError('PROTOCOL', `${what}: the answer is not a JSON object`)
  return value
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
