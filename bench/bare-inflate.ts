import { open } from 'node:fs/promises'
import { bareInflate } from '../src/native.js'

const partBytes = 2 ** 20

/** Seconds that plain inflate takes for a layer that is in memory already. */
export async function bareInflateSeconds(layer: string): Promise<number> {
  const parts: Buffer[] = []
  const file = await open(layer)
  try {
    for await (const part of file.createReadStream({ highWaterMark: partBytes }) as AsyncIterable<Buffer>)
      parts.push(part)
  } finally {
    await file.close()
  }
  return bareInflate(parts)
}
