/** More pieces than this are better put together. */
const maxParts = 32

/**
 * All of [offset, offset + length) as pieces that `peekSome` gives one after another, each at least a byte of what it is
 * asked for; undefined where one is missing.
 */
export function peekAll(
  offset: number,
  length: number,
  peekSome: (offset: number, length: number) => Buffer | undefined,
): readonly Buffer[] | undefined {
  const parts: Buffer[] = []
  for (let filled = 0; filled < length;) {
    const part = parts.length < maxParts ? peekSome(offset + filled, length - filled) : undefined
    if (part === undefined) return undefined
    parts.push(part)
    filled += part.length
  }
  return parts
}
