import type { DirectoryEntry, Inode, LookupResult } from './binding.js'
import { DirectoryPacker } from './fuse-answers.js'
import { decodeRead, opcodes, type FuseRequest } from './fuse-protocol.js'

/** Kernel limit on names (FUSE_NAME_MAX of all versions): a longer one would fail the whole listing. */
const maxName = 1023
const slash = 0x2f

export interface DirectoryPage {
  /** Valid until the next page is made. */
  readonly bytes: Buffer
  /** Each counts one lookup. */
  readonly looked: readonly Inode[]
  /** Names that no file system can show. */
  readonly leftOut: number
}

/** Answers to READDIR and READDIRPLUS, of as many entries as the kernel has room for. READDIRPLUS's are looked up by the way. */
export class DirectoryPages {
  readonly #packer = new DirectoryPacker()

  page(
    request: FuseRequest,
    entries: readonly DirectoryEntry[],
    lookup: (index: number) => LookupResult | undefined,
  ): DirectoryPage {
    const { offset, size } = decodeRead(request.body)
    const isPlus = request.opcode === opcodes.readdirplus
    const packer = this.#packer
    packer.begin(size)
    const looked: Inode[] = []
    let leftOut = 0
    for (let index = offset; index < entries.length; index++) {
      const entry = entries[index] as DirectoryEntry
      const { name } = entry
      if (!isShowable(name)) {
        leftOut++
        continue
      }
      if (!packer.hasRoom(name.length, isPlus)) break
      const found = isPlus ? lookup(index) : undefined
      if (found !== undefined) {
        looked.push(found.inode)
        const { type, inode, validMs } = found.attributes
        packer.addPlus(name, type, inode, index + 1, found, validMs)
      } else if (isPlus) packer.addPlus(name, entry.type, entry.inode, index + 1, undefined, 0)
      else packer.add(name, entry.type, entry.inode, index + 1)
    }
    return { bytes: packer.bytes(), looked, leftOut }
  }
}

function isShowable(name: Buffer): boolean {
  if (name.length === 0 || name.length > maxName) return false
  for (let i = 0; i < name.length; i++) if (name[i] === 0 || name[i] === slash) return false
  return true
}
