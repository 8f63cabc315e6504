import type { TarMember } from '../tar/member.js'
import { TarScanner } from '../tar/tar-scanner.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { compressionOf, magicBytes } from './compression.js'
import type { FileRange, FileTree } from './file-tree.js'
import type { LocalFile } from './local-file.js'

/** More than any image has blobs, a few times over. */
const maxMembers = 100_000
/** Enough for the headers of a member and, where members are small, for many. */
const stepBytes = 32 << 10
/** docker save writes `ID/layer.tar` as a link to the layer that is the same. */
const maxLinks = 8

/**
 * The members of an outer tar by name and place. Only its headers are read; the content of members is stepped over,
 * and later read where it lies.
 */
export class ArchiveTree implements FileTree {
  readonly file: LocalFile
  readonly #members: ReadonlyMap<string, TarMember>

  private constructor(file: LocalFile, members: ReadonlyMap<string, TarMember>) {
    this.file = file
    this.#members = members
  }

  static async open(file: LocalFile): Promise<ArchiveTree> {
    const size = await file.size()
    await requirePlain(file, size)
    const members = new Map<string, TarMember>()
    const onMember = (member: TarMember): void => {
      if (members.size >= maxMembers)
        throw new RegistryFsError('LIMIT', `${file.path}: more than ${String(maxMembers)} members`)
      members.set(normalise(member.name.toString()), member)
    }
    try {
      await scan(file, size, onMember)
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'UNSUPPORTED') || !(error instanceof RegistryFsError)) throw error
      const reason = hasCode(error, 'UNSUPPORTED') ? 'it is not a tar archive' : error.describe()
      throw new RegistryFsError('CORRUPT', `${file.path}: ${reason}`)
    }
    return new ArchiveTree(file, members)
  }

  get path(): string {
    return this.file.path
  }

  async find(name: string): Promise<FileRange | undefined> {
    let wanted = normalise(name)
    for (let links = 0; links <= maxLinks; links++) {
      const member = this.#members.get(wanted)
      if (member === undefined) return Promise.resolve(undefined)
      if (member.type === 'file' && member.unsupported === undefined)
        return Promise.resolve({ file: this.file, offset: member.dataOffset, size: member.size })
      const target = member.linkName.toString()
      if (member.type === 'hardlink') wanted = normalise(target)
      else if (member.type === 'symlink')
        wanted = normalise(target.startsWith('/') ? target : `${wanted}/../${target}`)
      else break
    }
    throw new RegistryFsError('UNSUPPORTED', `${this.path}: ${name} is not a file`)
  }
}

async function scan(file: LocalFile, size: number, onMember: (member: TarMember) => void): Promise<void> {
  let scanner = new TarScanner({ onMember })
  for (let position = 0; position < size;) {
    const bytes = Buffer.allocUnsafe(Math.min(stepBytes, size - position))
    await file.readInto(position, bytes)
    scanner.push(bytes, position)
    position += bytes.length
    const state = scanner.state()
    if (state.contentEnd > size)
      throw new RegistryFsError('CORRUPT', 'it ends within a member', { offset: size })
    if (state.ended) return
    if (state.headerOffset <= position || state.headerOffset >= size) continue
    // As if the content had been pushed.
    position = state.headerOffset
    scanner = new TarScanner({ onMember, resume: { ...state, offset: position } })
  }
  if (size === 0) throw new RegistryFsError('UNSUPPORTED', 'it is empty')
}

async function requirePlain(file: LocalFile, size: number): Promise<void> {
  const start = Buffer.alloc(Math.min(magicBytes, size))
  await file.readInto(0, start)
  const found = compressionOf(start)
  if (found === undefined) return
  throw new RegistryFsError(
    'UNSUPPORTED',
    `${file.path}: the archive itself is compressed with ${found}: decompress it first`,
  )
}

/** From the root of the archive; `..` stops there. */
function normalise(name: string): string {
  const parts: string[] = []
  for (const part of name.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}
