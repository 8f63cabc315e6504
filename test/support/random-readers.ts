/**
 * Program: `random-readers.js FILE SOURCE READERS READS SEED [read-on]`. So many readers at once, each with a handle of its
 * own, read FILE at random places and compare with SOURCE, which must be the same bytes. Prints the number of bytes compared;
 * ends with status 1 and the place at the first difference. With `read-on` it never ends by itself and prints a line
 * when the first read is done: to be killed in the middle.
 */
import { open } from 'node:fs/promises'

const [file = '', source = '', readers = '1', reads = '1', seed = '1', mode] = process.argv.slice(2)
const maximumBytes = 256 * 1024

/** xorshift32, from 0 to 1. */
function randomFrom(start: number): () => number {
  let state = (start * 2_654_435_761) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

async function readAtRandom(reader: number): Promise<number> {
  const random = randomFrom(Number(seed) * 1000 + reader)
  const handle = await open(file)
  const expected = await open(source)
  const { size } = await expected.stat()
  let compared = 0
  for (let i = 0; i < Number(reads) || mode === 'read-on'; i++) {
    const position = Math.floor(random() * size)
    const length = 1 + Math.floor(random() * maximumBytes)
    const [a, b] = await Promise.all(
      [handle, expected].map(async (each) => each.read(Buffer.alloc(length), 0, length, position)),
    )
    if (a === undefined || b === undefined || a.bytesRead !== b.bytesRead || !a.buffer.equals(b.buffer))
      throw new Error(`${String(length)} bytes at ${String(position)} differ`)
    compared += a.bytesRead
    if (mode === 'read-on' && i === 0) process.stdout.write('reading\n')
  }
  await Promise.all([handle.close(), expected.close()])
  return compared
}

const all = Array.from({ length: Number(readers) }, async (_, reader) => readAtRandom(reader))
Promise.all(all).then(
  (compared) => {
    process.stdout.write(`${String(compared.reduce((sum, one) => sum + one, 0))}\n`)
  },
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    process.exit(1)
  },
)
