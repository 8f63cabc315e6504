/** A tar is made of these. */
export const blockBytes = 512

/** Of `bytes` of content with the padding behind it. */
export function paddedBytes(bytes: number): number {
  const over = bytes % blockBytes
  return over === 0 ? bytes : bytes - over + blockBytes
}

export function isAllZeros(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte !== 0) return false
  return true
}
