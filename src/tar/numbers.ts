const digitZero = 0x30
const digitSeven = 0x37
const space = 0x20

/**
 * A numeric header field: octal text with blanks or NULs around it, or base-256 where the first byte has its high bit
 * set. Blank fields are 0. Undefined for anything else, and for what a double cannot hold exactly.
 */
export function parseNumber(bytes: Buffer, start: number, length: number): number | undefined {
  const end = start + length
  if (((bytes[start] as number) & 0x80) !== 0) return parseBase256(bytes, start, end)
  let at = start
  while (at < end && isBlank(bytes[at] as number)) at++
  let value = 0
  for (; at < end; at++) {
    const byte = bytes[at] as number
    if (byte < digitZero || byte > digitSeven) break
    value = value * 8 + (byte - digitZero)
  }
  // What follows the first blank after the digits is no part of the number: old tars leave rubbish there.
  if (at < end && !isBlank(bytes[at] as number)) return undefined
  return Number.isSafeInteger(value) ? value : undefined
}

/** Decimal text as PAX has it. Undefined unless all of it is a number, and exact. */
export function parseDecimal(bytes: Buffer): number | undefined {
  const text = bytes.toString('latin1')
  if (!/^-?[0-9]{1,17}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value + 0 : undefined
}

export interface Time {
  /** Rounded down. */
  readonly seconds: number
  readonly nanoseconds: number
}

/** PAX time: decimal seconds with an optional fraction, which counts away from zero in negative ones. */
export function parseTime(bytes: Buffer): Time | undefined {
  const match = /^(-?)([0-9]{0,16})(?:\.([0-9]*))?$/.exec(bytes.toString('latin1'))
  if (match === null) return undefined
  const [, sign = '', whole = '', fraction = ''] = match
  if (whole === '' && fraction === '') return undefined
  const seconds = Number(whole)
  if (!Number.isSafeInteger(seconds)) return undefined
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (sign === '') return { seconds, nanoseconds }
  // Digits beyond the ninth round down too, which in negative times is one nanosecond more.
  const away = nanoseconds + (/[1-9]/.test(fraction.slice(9)) ? 1 : 0)
  if (away === 0) return { seconds: 0 - seconds, nanoseconds: 0 }
  return { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - away }
}

function parseBase256(bytes: Buffer, start: number, end: number): number | undefined {
  const first = bytes[start] as number
  const negative = (first & 0x40) !== 0
  // In two's complement a negative number's bytes, inverted, are -value - 1.
  const invert = negative ? 0xff : 0
  let value = (first ^ invert) & 0x3f
  for (let at = start + 1; at < end; at++) {
    value = value * 256 + ((bytes[at] as number) ^ invert)
    if (value > Number.MAX_SAFE_INTEGER) return undefined
  }
  return negative ? -value - 1 : value
}

function isBlank(byte: number): boolean {
  return byte === space || byte === 0
}
