/**
 * Program: `random-readers.js FILE SOURCE READERS READS SEED [read-on|direct]`. So many readers at once, each with a handle of its
 * own, read FILE at random places and compare with SOURCE, which must be the same bytes. Prints the number of bytes compared;
 * ends with status 1 and the place at the first difference. With `read-on` it never ends by itself and prints a line
 * when the first read is done: to be killed in the middle. With `direct` the kernel's pages take no part.
 */
import { constants, open, type FileHandle } from 'node:fs/promises'

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

/** A read may be short before it fails: of several pages the first came, the next did not. */
async function readAll(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw new Error(`the file ends at ${String(position + done)}`)
    done += bytesRead
  }
  return bytes
}

async function readAtRandom(reader: number): Promise<number> {
  const random = randomFrom(Number(seed) * 1000 + reader)
  const handle = await open(file, constants.O_RDONLY | (mode === 'direct' ? constants.O_DIRECT : 0))
  const expected = await open(source)
  const { size } = await expected.stat()
  let compared = 0
  for (let i = 0; i < Number(reads) || mode === 'read-on'; i++) {
    const position = Math.floor(random() * size)
    const length = 1 + Math.floor(random() * maximumBytes)
    const wanted = Math.min(length, size - position)
    const [a, b] = await Promise.all([handle, expected].map(async (each) => readAll(each, position, wanted)))
    if (a === undefined || b === undefined || !a.equals(b))
      throw new Error(`${String(length)} bytes at ${String(position)} differ`)
    compared += wanted
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
