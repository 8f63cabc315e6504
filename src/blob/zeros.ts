const shared = Buffer.alloc(1 << 20)

/** Up to `length` zeros, at least one and at most 1 MiB: a view of the one buffer of zeros, never to be written to. */
export function zeros(length: number): Buffer {
  return shared.subarray(0, Math.min(length, shared.length))
}
