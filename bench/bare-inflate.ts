import { open } from 'node:fs/promises'
import { passSizes, slotBytes, slotCount } from '../src/layer/pass-sizes.js'
import { allocateSlots, bareInflate, openPass } from '../src/native.js'

const partBytes = 2 ** 20

/** CPU seconds of the one thread that inflates a layer which is in memory already. */
export interface InflateSeconds {
  /** zlib, and nothing else. */
  readonly bare: number
  /** What a first pass does on that thread: seek points, CRC-32, runs of zeros. */
  readonly withPoints: number
}

export async function inflateSeconds(layer: string): Promise<InflateSeconds> {
  const parts: Buffer[] = []
  const file = await open(layer)
  try {
    for await (const part of file.createReadStream({ highWaterMark: partBytes }) as AsyncIterable<Buffer>)
      parts.push(part)
  } finally {
    await file.close()
  }
  return { bare: await bareInflate(parts), withPoints: await passSeconds(parts) }
}

async function passSeconds(parts: readonly Buffer[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const pass = openPass({
      ...passSizes,
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
