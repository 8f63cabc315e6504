/**
 * A layer with a raw disk of many GiB in it, mostly zeros, as a provider's image of a large empty machine has: made in
 * seconds, for what deflate makes of a run of zeros, fully flushed, is repeated as often as it is wanted.
 */
import { GzipWriter } from './gzip-writer.js'
import type { Layer } from './images.js'
import { seededRandom } from './random-faults.js'
import { sampleData } from './sample-data.js'
import { dir, file } from './tar-of.js'

export interface HugeDisk {
  readonly layer: Layer
  /** Of the disk, the member disk/downloaded. */
  readonly bytes: number
  /** What is not zero, in order, at 4 KiB. */
  readonly extents: readonly Extent[]
  /** What the disk has there. */
  contentAt(offset: number, length: number): Buffer
}

export interface Extent {
  readonly offset: number
  readonly length: number
}

const page = 4096
/** What a file system leaves: many small places, some larger ones. */
const extentBytes = [page, page, 2 * page, page, 16 * page, page, 4 * page, 32 * page]

/** `dataBytes` of data, which does not get much smaller, in `bytes` of zeros. */
export function hugeDisk(bytes: number, dataBytes: number): HugeDisk {
  const extents = placeExtents(bytes, dataBytes)
  const content = new ExtentContent()
  const gzip = new GzipWriter()
  gzip.add(Buffer.concat([dir('disk/').bytes, file('disk/downloaded', '', { claimedSize: bytes }).bytes]))
  let at = 0
  for (const [number, { offset, length }] of extents.entries()) {
    gzip.addZeros(offset - at)
    gzip.add(content.of(number, length))
    at = offset + length
  }
  gzip.addZeros(bytes - at)
  const layer = {
    bytes: gzip.end(Buffer.alloc(1024)),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  }
  return {
    layer,
    bytes,
    extents,
    contentAt: (offset, length) => {
      const found = Buffer.alloc(length)
      for (const [number, extent] of extents.entries()) {
        const start = Math.max(offset, extent.offset)
        const end = Math.min(offset + length, extent.offset + extent.length)
        if (start < end)
          content
            .of(number, extent.length)
            .copy(found, start - offset, start - extent.offset, end - extent.offset)
      }
      return found
    },
  }
}

/** One in each of equal parts of the disk, somewhere in it. */
function placeExtents(bytes: number, dataBytes: number): readonly Extent[] {
  const round = extentBytes.reduce((sum, each) => sum + each, 0)
  const count = Math.ceil(dataBytes / round) * extentBytes.length
  const part = Math.floor(bytes / count / page) * page
  const random = seededRandom(count)
  return Array.from({ length: count }, (_, number) => {
    const length = extentBytes[number % extentBytes.length] ?? page
    const room = (part - length) / page
    // Two that touch would be one.
    if (room < 2) throw new Error('too much data for so small a disk')
    return { offset: number * part + Math.floor(random() * (room - 1)) * page, length }
  })
}

/** Different for each extent, and without zeros. */
class ExtentContent {
  readonly #pool = [sampleData('random', 2 << 20), sampleData('text', 2 << 20)].map((bytes) =>
    bytes.map((byte) => (byte === 0 ? 1 : byte)),
  )

  of(number: number, length: number): Buffer {
    const pool = this.#pool[number % 2] ?? Buffer.alloc(0)
    const start = (number * 7919) % (pool.length - length)
    const bytes = Buffer.from(pool.subarray(start, start + length))
    bytes.write(`extent ${String(number)} `)
    return bytes
  }
}
