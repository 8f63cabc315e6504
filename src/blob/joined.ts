/** The parts, `length` bytes in all, as one buffer: in `scratch` where there is one, and only if there is more than one. */
export function joined(parts: readonly Buffer[], length: number, scratch?: Buffer): Buffer {
  const [first] = parts
  if (parts.length === 1 && first !== undefined) return first
  const whole = scratch === undefined ? Buffer.allocUnsafeSlow(length) : scratch.subarray(0, length)
  let filled = 0
  for (const part of parts) filled += part.copy(whole, filled)
  return whole
}
