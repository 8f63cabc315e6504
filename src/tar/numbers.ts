import { corrupt } from './corrupt.js'

const space = 0x20
const zero = 0x30
const seven = 0x37

/**
 * A numeric field of a header: octal digits with blanks before and a blank or NUL behind (nothing but those is 0),
 * or base-256 when the top bit is set (GNU and star, for what does not fit; two's complement). Anything else is
 * refused, as Go's archive/tar does, by which images are unpacked elsewhere.
 */
export function decodeNumber(
  block: Buffer,
  start: number,
  length: number,
  what: string,
  offset: number,
): number {
  const number = tryDecodeNumber(block, start, length)
  if (number === undefined) throw corrupt(`${what} is no number, or too large`, offset)
  return number
}

/** Undefined where `decodeNumber` throws. */
export function tryDecodeNumber(block: Buffer, start: number, length: number): number | undefined {
  if (((block[start] ?? 0) & 0x80) !== 0) return decodeBase256(block, start, length)
  const end = start + length
  let at = start
  while (at < end && (block[at] === space || block[at] === 0)) at++
  let value = 0
  for (; at < end; at++) {
    const byte = block[at] as number
    if (byte < zero || byte > seven) return byte === space || byte === 0 ? value : undefined
    // A field of 12 digits is at most 2^36.
    value = value * 8 + byte - zero
  }
  return value
}

function decodeBase256(block: Buffer, start: number, length: number): number | undefined {
  const first = block[start] as number
  const invert = (first & 0x40) !== 0 ? 0xff : 0
  let value = (first ^ invert) & 0x7f
  for (let at = start + 1; at < start + length; at++) {
    value = value * 256 + ((block[at] as number) ^ invert)
    if (value > Number.MAX_SAFE_INTEGER) return undefined
  }
  return invert === 0 ? value : -value - 1
}

/** A whole number of a PAX record; may be negative. */
export function parseDecimal(value: Buffer, what: string, offset: number): number {
  const text = value.toString('latin1')
  const number = Number(text)
  if (!/^[+-]?\d{1,64}$/.test(text) || !Number.isSafeInteger(number)) {
    throw corrupt(`PAX record ${what} is no number, or too large`, offset)
  }
  return number
}

export interface Time {
  /** Rounded down. */
  readonly seconds: number
  /** 0 to 999,999,999. */
  readonly nanoseconds: number
}

/** A time of a PAX record: seconds with any number of decimal places, of which nine are kept; may be negative. */
export function parseTime(value: Buffer, what: string, offset: number): Time {
  const match = /^([+-]?)(\d{1,64})(?:\.(\d*))?$/.exec(value.toString('latin1'))
  const seconds = Number(match?.[2])
  if (match === null || !Number.isSafeInteger(seconds)) {
    throw corrupt(`PAX record ${what} is no time`, offset)
  }
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (match[1] !== '-') return { seconds, nanoseconds }
  if (nanoseconds === 0) return { seconds: 0 - seconds, nanoseconds }
  return { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds }
}
