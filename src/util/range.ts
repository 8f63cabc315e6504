/** Half-open, in bytes. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** The numbers of the fixed-size pieces that [offset, offset + length) touches: first and one past the last. */
export function piecesOf(offset: number, length: number, pieceBytes: number): { first: number; end: number } {
  const first = Math.floor(offset / pieceBytes)
  return { first, end: length <= 0 ? first : Math.floor((offset + length - 1) / pieceBytes) + 1 }
}

/** `1.5 GiB`, for people. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? String(value) : value.toFixed(value < 10 ? 2 : 1)} ${units[unit] ?? ''}`
}
