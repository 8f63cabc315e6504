/** Reflected, without its highest term. */
const polynomial = 0xedb88320

/** CRC-32 of two runs of bytes, one after the other, from that of each: the first one is multiplied by x^(8 * secondBytes). */
export function combinedCrc32(first: number, second: number, secondBytes: number): number {
  let power = 0x80000000
  // x^8, x^16, x^32 and so on.
  let square = 0x00800000
  for (let rest = secondBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) power = product(power, square)
    square = product(square, square)
  }
  return (product(first, power) ^ second) >>> 0
}

/** Modulo the polynomial; the highest bit is the factor of 1. */
function product(a: number, b: number): number {
  let sum = 0
  let shifted = b
  for (let bit = 31; bit >= 0; bit--) {
    if (((a >>> bit) & 1) === 1) sum ^= shifted
    shifted = (shifted & 1) === 1 ? (shifted >>> 1) ^ polynomial : shifted >>> 1
  }
  return sum >>> 0
}
