/** Never written to, it takes no memory: all its pages are the kernel's one page of zeros. */
const shared = Buffer.alloc(2 << 20)

/** Up to `length` zeros, at least one and at most 2 MiB: a view of the one buffer of zeros, never to be written to. */
export function zeros(length: number): Buffer {
  return shared.subarray(0, Math.min(length, shared.length))
}
