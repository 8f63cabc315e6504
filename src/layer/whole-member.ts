import type { Descriptor } from '../registry/descriptor.js'
import type { TarMember } from '../tar/member.js'
import { digestHex } from '../util/digest.js'
import { hasCode, type RegistryFsError } from '../util/errors.js'

const titleAnnotation = 'org.opencontainers.image.title'
/** NAME_MAX. */
const maximumNameBytes = 255

/** The one file that a layer is which is no tar (an ISO or qcow2 artifact). */
export function wholeMember(layer: Descriptor, size: number, isCompressed: boolean): TarMember {
  return {
    name: Buffer.from(nameOf(layer, isCompressed)),
    type: 'file',
    linkName: Buffer.alloc(0),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    headerOffset: 0,
    dataOffset: 0,
    xattrs: undefined,
    sparse: undefined,
    unsupported: undefined,
  }
}

/** Whether the scanner says so of its very first block. */
export function isNoTar(error: unknown): boolean {
  return hasCode(error, 'UNSUPPORTED') && (error as RegistryFsError).offset === 0
}

/** The last component of the title, as long as that can be a name; without the suffix of what was undone. */
function nameOf(layer: Descriptor, isCompressed: boolean): string {
  const title = layer.annotations[titleAnnotation] ?? ''
  const last = title.split('/').at(-1) ?? ''
  const plain = isCompressed ? last.replace(/(?<=.)\.(gz|zst|zstd)$/i, '') : last
  const isName =
    plain !== '' &&
    !plain.includes('\0') &&
    !/^\.\.?$|^\.wh\./.test(plain) &&
    Buffer.byteLength(plain) <= maximumNameBytes
  return isName ? plain : digestHex(layer.digest)
}
