import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { TarMember } from '../../src/tar/member.js'
import { TarScanner } from '../../src/tar/tar-scanner.js'
import { compressZstd } from '../../src/zstd/zstd.js'
import { file, tarOf } from './tar-of.js'
import { skippableFrame } from './zstd-frames.js'

/** A table of contents as it goes into JSON; what a test may spoil. */
export interface Toc {
  version: number
  entries: Record<string, unknown>[]
}

export interface TocLayer {
  readonly blob: Buffer
  readonly annotations: Readonly<Record<string, string>>
}

export interface TocOptions {
  readonly chunkBytes?: number
  readonly spoil?: (toc: Toc) => void
  /** The text itself, before its digest is made. */
  readonly spoilText?: (json: string) => string
}

const types: Readonly<Record<TarMember['type'], string>> = {
  file: 'reg',
  directory: 'dir',
  symlink: 'symlink',
  hardlink: 'hardlink',
  'character-device': 'char',
  'block-device': 'block',
  fifo: 'fifo',
}

/** The same tar as an eStargz writer lays it out: a gzip member begins at each chunk of each file. */
export async function estargzOf(tar: Buffer, options: TocOptions = {}): Promise<TocLayer> {
  const { parts, json, offset } = await packed(tar, options, async (bytes) =>
    Promise.resolve(gzipSync(bytes, { level: 1 })),
  )
  const footer = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 26, 0]),
    Buffer.from('SG'),
    Buffer.from([22, 0]),
    Buffer.from(`${offset.toString(16).padStart(16, '0')}STARGZ`),
    Buffer.from([1, 0, 0, 0xff, 0xff]),
    Buffer.alloc(8),
  ])
  const table = gzipSync(tarOf(file('stargz.index.json', json)))
  return {
    blob: Buffer.concat([...parts, table, footer]),
    annotations: { 'containerd.io/snapshot/stargz/toc.digest': sha256(json) },
  }
}

/** The same tar as zstd:chunked has it: a frame begins at each chunk of each file. */
export async function zstdChunkedOf(tar: Buffer, options: TocOptions = {}): Promise<TocLayer> {
  const { parts, json, offset } = await packed(tar, options, compressZstd)
  const end = await compressZstd(Buffer.alloc(1024))
  const manifest = await compressZstd(json)
  const position = offset + end.length + 8
  return {
    blob: Buffer.concat([...parts, end, skippableFrame(manifest), skippableFrame(Buffer.alloc(40))]),
    annotations: {
      'io.github.containers.zstd-chunked.manifest-checksum': sha256(manifest),
      'io.github.containers.zstd-chunked.manifest-position': [position, manifest.length, json.length, 1].join(
        ':',
      ),
    },
  }
}

async function packed(
  tar: Buffer,
  options: TocOptions,
  compress: (bytes: Buffer) => Promise<Buffer>,
): Promise<{ readonly parts: readonly Buffer[]; readonly json: Buffer; readonly offset: number }> {
  const { chunkBytes = 1 << 20, spoil = () => undefined, spoilText = (json: string) => json } = options
  const members: TarMember[] = []
  const scanner = new TarScanner({ onMember: (member) => members.push(member) })
  scanner.push(tar, 0)
  const toc: Toc = { version: 1, entries: [] }
  const parts: Buffer[] = []
  let offset = 0
  let taken = 0
  const put = async (end: number): Promise<void> => {
    if (end <= taken) return
    const part = await compress(tar.subarray(taken, end))
    parts.push(part)
    offset += part.length
    taken = end
  }
  for (const member of members) {
    const entry = entryOf(member)
    toc.entries.push(entry)
    if (member.type !== 'file' || member.size === 0) continue
    await put(member.dataOffset)
    const content = tar.subarray(member.dataOffset, member.dataOffset + member.size)
    entry['digest'] = sha256(content)
    for (let at = 0; at < content.length; at += chunkBytes) {
      const chunk = content.subarray(at, at + chunkBytes)
      const isLast = at + chunk.length === content.length
      const place = {
        offset,
        chunkDigest: sha256(chunk),
        ...(at > 0 ? { chunkOffset: at } : {}),
        ...(isLast ? {} : { chunkSize: chunk.length }),
      }
      if (at === 0) Object.assign(entry, place)
      else toc.entries.push({ name: member.name.toString(), type: 'chunk', ...place })
      await put(member.dataOffset + at + chunk.length)
    }
  }
  // All but the blocks that end it.
  await put(Math.ceil(taken / 512) * 512)
  const last = members.at(-1)
  await put(Math.max(taken, (last?.dataOffset ?? 0) + Math.ceil((last?.size ?? 0) / 512) * 512))
  spoil(toc)
  return { parts, json: Buffer.from(spoilText(JSON.stringify(toc))), offset }
}

function entryOf(member: TarMember): Record<string, unknown> {
  const seconds = new Date(member.mtimeSeconds * 1000).toISOString().slice(0, 19)
  const fraction = member.mtimeNanoseconds === 0 ? '' : `.${String(member.mtimeNanoseconds).padStart(9, '0')}`
  return {
    name: member.name.toString(),
    type: types[member.type],
    size: member.size,
    modtime: `${seconds}${fraction}Z`,
    linkName: member.linkName.toString(),
    mode: member.mode,
    uid: member.uid,
    gid: member.gid,
    devMajor: member.deviceMajor,
    devMinor: member.deviceMinor,
    xattrs:
      member.xattrs === undefined
        ? undefined
        : Object.fromEntries([...member.xattrs].map(([key, value]) => [key, value.toString('base64')])),
  }
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
