import {
  allocateSlots,
  openPass,
  type CheckpointEvent,
  type PassEvent,
  type PassOptions,
  type SpanEvent,
} from '../../src/native.js'

export const chunkBytes = 102_400

export interface PassOutcome {
  readonly output: Buffer
  readonly events: readonly PassEvent[]
  readonly spans: readonly SpanEvent[]
  readonly checkpoints: readonly CheckpointEvent[]
  readonly last: PassEvent
}

export interface RunOptions extends Partial<Omit<PassOptions, 'onEvents' | 'slots'>> {
  readonly pieceBytes?: number
  readonly slotBytes?: number
  /** False: the blocks are thrown away, for outputs that would not fit. */
  readonly keepOutput?: boolean
}

/** Feeds a whole gzip blob through a pass; small distances between points, so that small inputs have many. */
export async function runPass(blob: Buffer, options: RunOptions = {}): Promise<PassOutcome> {
  const { pieceBytes = 64 << 10, slotBytes = 48 << 10, keepOutput = true, ...rest } = options
  const slots = allocateSlots(4, slotBytes)
  const blocks: Buffer[] = []
  const events: PassEvent[] = []
  const start = Math.floor((options.resume?.compressedBitOffset ?? 0) / 8)
  return new Promise((resolve, reject) => {
    const pass = openPass({
      spacingBytes: 64 << 10,
      minimumCompressedBytes: 4 << 10,
      maximumSpanBytes: 256 << 10,
      checkpointBytes: 200 << 10,
      chunkBytes,
      ...rest,
      slots,
      onEvents: (batch) => {
        try {
          for (const event of batch) {
            events.push(event)
            if (event.kind === 'block') {
              const bytes = slots[event.slot]?.subarray(0, event.length)
              if (keepOutput)
                blocks.push(bytes === undefined ? Buffer.alloc(event.length) : Buffer.from(bytes))
              pass.releaseSlot(event.slot)
            }
            if (event.kind !== 'end' && event.kind !== 'failure') continue
            pass.close()
            resolve({
              output: Buffer.concat(blocks),
              events,
              spans: events.filter((one) => one.kind === 'span'),
              checkpoints: events.filter((one) => one.kind === 'checkpoint'),
              last: event,
            })
          }
        } catch (error) {
          pass.close()
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      },
    })
    for (let offset = start; offset < blob.length; offset += pieceBytes)
      pass.push(blob.subarray(offset, offset + pieceBytes))
    pass.finish()
  })
}
