import type { ByteSource } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'

const magic = 0x514649fb
const headerBytes = 80
/** Of the incompatible features, which version 3 has. */
const externalDataFile = 1 << 2

/** That qemu will open no other file for it (docs/interop/qcow2.txt). Throws UNSUPPORTED. */
export async function checkQcow2(source: ByteSource, options: ReadOptions): Promise<void> {
  const header = await source.read(0, headerBytes, options)
  if (header.length < headerBytes || header.readUInt32BE(0) !== magic) throw unsupported('it is no qcow2')
  if (header.readBigUInt64BE(8) !== 0n) throw unsupported('it has a backing file')
  if (header.readUInt32BE(4) >= 3 && (header.readUInt32BE(76) & externalDataFile) !== 0)
    throw unsupported('its data are in another file')
}

function unsupported(reason: string): RegistryFsError {
  return new RegistryFsError('UNSUPPORTED', reason)
}
