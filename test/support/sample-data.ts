import { createHash } from 'node:crypto'

/** Deterministic bytes of a kind: `random` does not compress, `text` compresses like sources, `sparse` is mostly zeros. */
export function sampleData(kind: 'random' | 'text' | 'sparse' | 'mixed', bytes: number, seed = 1): Buffer {
  const random = randomBytes(bytes, seed)
  if (kind === 'random') return random
  if (kind === 'mixed') {
    const part = Math.floor(bytes / 3)
    return Buffer.concat([
      sampleData('text', part, seed),
      sampleData('sparse', part, seed + 1),
      sampleData('random', bytes - 2 * part, seed + 2),
    ])
  }
  const data = Buffer.alloc(bytes)
  if (kind === 'sparse') {
    for (let offset = 0; offset + 4096 <= bytes; offset += 4096) {
      if ((random[offset] ?? 0) < 16) random.copy(data, offset, offset, offset + 2000)
    }
    return data
  }
  const words = Array.from({ length: 256 }, (_, i) =>
    createHash('md5')
      .update(String(i * seed))
      .digest('base64')
      .slice(0, 3 + (i % 9)),
  )
  let filled = 0
  for (let i = 0; filled < bytes; i++) filled += data.write(`${words[random[i] ?? 0] ?? ''} `, filled)
  return data
}

function randomBytes(bytes: number, seed: number): Buffer {
  const data = Buffer.alloc(bytes)
  // xorshift32: fast, the same everywhere, and nothing that deflate could see through.
  let state = (seed * 2_654_435_761) >>> 0 || 1
  for (let i = 0; i + 4 <= bytes; i += 4) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    data.writeInt32LE(state, i)
  }
  return data
}
