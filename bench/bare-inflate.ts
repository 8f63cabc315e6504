import { open } from 'node:fs/promises'
import { passSizes, slotBytes, slotCount } from '../src/layer/pass-sizes.js'
import { allocateSlots, bareInflate, openPass } from '../src/native.js'
import type { LibdeflateSeconds } from './libdeflate.js'

const partBytes = 2 ** 20
const runs = 3

/** CPU seconds of the one thread that inflates a layer which is in memory already: the least of some runs. */
export interface InflateSeconds {
  /** Node's zlib, and nothing else. */
  readonly bare: number
  /** libdeflate, which must have the whole layer and room for the whole tar: the fastest that there is. */
  readonly libdeflate: number
  /** What a first pass does on that thread: seek points, CRC-32, runs of zeros. */
  readonly withPoints: number
}

export async function inflateSeconds(
  layer: string,
  tarBytes: number,
  libdeflate: LibdeflateSeconds,
): Promise<InflateSeconds> {
  const parts: Buffer[] = []
  const file = await open(layer)
  try {
    for await (const part of file.createReadStream({ highWaterMark: partBytes }) as AsyncIterable<Buffer>)
      parts.push(part)
  } finally {
    await file.close()
  }
  const least = { bare: Infinity, libdeflate: Infinity, withPoints: Infinity }
  for (let run = 0; run < runs; run++) {
    least.bare = Math.min(least.bare, await bareInflate(parts))
    least.libdeflate = Math.min(least.libdeflate, await libdeflate(layer, tarBytes))
    least.withPoints = Math.min(least.withPoints, await passSeconds(parts))
  }
  return least
}

async function passSeconds(parts: readonly Buffer[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const pass = openPass({
      ...passSizes.gzip,
      slots: allocateSlots(slotCount, slotBytes),
      onEvents: (events) => {
        for (const event of events) {
          if (event.kind === 'block') pass.releaseSlot(event.slot)
          if (event.kind === 'failure') reject(new Error(event.message))
          if (event.kind !== 'end') continue
          pass.close()
          resolve(event.decodeSeconds)
        }
      },
    })
    for (const part of parts) pass.push(part)
    pass.finish()
  })
}
