import { RegistryFsError } from '../util/errors.js'
import { checkEncoding } from './content-encoding.js'
import { headerOf, type HttpResponse } from './transport.js'

export interface ExpectedRange {
  readonly offset: number
  readonly length: number
  /** Of the whole blob. */
  readonly size: number
}

/** RFC 9110 14.1.2, inclusive. */
export function formatRange(offset: number, length: number): string {
  return `bytes=${String(offset)}-${String(offset + length - 1)}`
}

/** Throws PROTOCOL unless a 206 holds exactly these bytes (RFC 9110 14.4; a total of `*` is allowed). */
export function checkPartial(response: HttpResponse, expected: ExpectedRange, what: string): void {
  checkEncoding(response, what)
  const header = headerOf(response, 'content-range') ?? ''
  const match = /^\s*bytes\s+(\d+)-(\d+)\/(\d+|\*)\s*$/i.exec(header)
  const asked = `${String(expected.offset)}-${String(expected.offset + expected.length - 1)}/${String(expected.size)}`
  if (match === null) {
    const type = headerOf(response, 'content-type') ?? 'no type'
    const got = header === '' ? `none (${type})` : header
    throw mismatch(what, asked, got)
  }
  const [, first, last, total] = match
  const isAsked =
    Number(first) === expected.offset &&
    Number(last) === expected.offset + expected.length - 1 &&
    (total === '*' || Number(total) === expected.size)
  if (!isAsked) throw mismatch(what, asked, header)
  const length = headerOf(response, 'content-length')
  if (length !== undefined && Number(length) !== expected.length) {
    throw new RegistryFsError(
      'PROTOCOL',
      `${what}: content-length ${JSON.stringify(length.slice(0, 40))} for a range of ${String(expected.length)} bytes`,
    )
  }
}

/** Throws PROTOCOL unless a 200 is the whole blob, which a server that knows no ranges sends. */
export function checkWhole(response: HttpResponse, size: number, what: string): void {
  checkEncoding(response, what)
  const length = headerOf(response, 'content-length')
  if (length !== undefined && Number(length) === size) return
  const type = (headerOf(response, 'content-type') ?? 'no type').slice(0, 80)
  throw new RegistryFsError(
    'PROTOCOL',
    `${what}: the answer to a range is neither a part nor the whole blob (200, ${JSON.stringify(type)}, length ${length ?? 'unknown'})`,
  )
}

/** Why a server has nothing there (416): its blob is shorter than the manifest says. */
export function unsatisfiable(
  response: HttpResponse,
  expected: ExpectedRange,
  what: string,
): RegistryFsError {
  const total = /^\s*bytes\s+\*\/(\d+)\s*$/i.exec(headerOf(response, 'content-range') ?? '')?.[1]
  const has = total === undefined ? 'has no such bytes' : `has ${total} bytes`
  return new RegistryFsError(
    'PROTOCOL',
    `${what}: 416: the manifest says ${String(expected.size)} bytes, ${response.url.host} ${has}`,
    { offset: expected.offset },
  )
}

function mismatch(what: string, asked: string, got: string): RegistryFsError {
  return new RegistryFsError(
    'PROTOCOL',
    `${what}: asked for bytes ${asked}, got content-range ${JSON.stringify(got.slice(0, 80))}`,
  )
}
