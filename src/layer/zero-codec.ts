import { blockBytes } from '../tar/block.js'
import { RegistryFsError } from '../util/errors.js'
import { VarintReader, VarintWriter } from './varints.js'
import { maximumRuns, type ZeroRun } from './zero-map.js'

/** Runs of zeros as varints in units of 512 bytes: how far behind the run before each begins, and its length. */
export function encodeZeros(runs: Iterable<ZeroRun>): Buffer {
  const writer = new VarintWriter()
  let end = 0
  for (const { offset, length } of runs) {
    writer.count((offset - end) / blockBytes).count(length / blockBytes)
    end = offset + length
  }
  return writer.done()
}

/** CORRUPT for anything that `encodeZeros` does not write for a tar of so many bytes. */
export function* decodeZeros(bytes: Buffer, tarBytes: number): Generator<ZeroRun> {
  const reader = new VarintReader(bytes, 'zeros')
  const lastBlock = Math.floor(tarBytes / blockBytes)
  let end = 0
  for (let count = 0; reader.hasMore; count++) {
    if (count === maximumRuns) throw corrupt('they are too many')
    const gap = reader.count(lastBlock - end)
    const length = reader.count(lastBlock - end - gap)
    if (length === 0 || (gap === 0 && count > 0)) throw corrupt('a run is no run')
    const start = end + gap
    end = start + length
    yield { offset: start * blockBytes, length: length * blockBytes }
  }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `zeros: ${reason}`)
}
