import type { ScannerState } from '../tar/tar-scanner.js'
import { RegistryFsError } from '../util/errors.js'
import { FieldReader, FieldWriter } from './sections.js'

/** For the journal. */
export function encodeScannerState(state: ScannerState): Buffer {
  return new FieldWriter()
    .count(state.offset)
    .count(state.headerOffset)
    .count(state.contentEnd)
    .count(state.claimedBytes)
    .count(state.memberCount)
    .u8(state.ended ? 1 : 0)
    .u32(state.carry.length)
    .bytes(state.carry)
    .bytes(state.globals)
    .done()
}

/** CORRUPT when it is cut off or has a number that makes no sense. */
export function decodeScannerState(bytes: Buffer): ScannerState {
  const reader = new FieldReader(bytes)
  const state = {
    offset: reader.count(),
    headerOffset: reader.count(),
    contentEnd: reader.count(),
    claimedBytes: reader.count(),
    memberCount: reader.count(),
    ended: reader.u8() === 1,
    carry: Buffer.from(reader.bytes(reader.u32())),
    globals: Buffer.from(reader.bytes(reader.left)),
  }
  const { offset, headerOffset, carry, ended } = state
  const isWhole = carry.length > 0 ? headerOffset + carry.length === offset : headerOffset >= offset || ended
  if (!isWhole) throw new RegistryFsError('CORRUPT', 'scanner state: its carry does not fit')
  return state
}
