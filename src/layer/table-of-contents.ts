/**
 * Layers that bring a table of contents are opened without a first pass, if the manifest has the table's digest: the
 * manifest proves the table, the table has the digest of each chunk of each file. Anything that is not as it should be,
 * and the layer is read as any other.
 *
 * eStargz: a gzip member per chunk; the last 51 bytes are an empty gzip member whose FEXTRA says where the member with the
 * table begins, a tar of stargz.index.json (containerd/stargz-snapshotter docs/estargz.md).
 * zstd:chunked: a frame per chunk; the table lies in a skippable frame, its place in the descriptor's annotations
 * (containers/storage docs/containers-storage-zstd-chunked.md).
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { CachedSource } from '../blob/cached-source.js'
import type { ByteSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import type { TarMember } from '../tar/member.js'
import { TarScanner } from '../tar/tar-scanner.js'
import { describeError, hasCode } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { decodeZstdSpan } from '../zstd/zstd.js'
import type { LayerBytes, LayerContents } from './layer-contents.js'
import { contentsOfToc } from './toc-contents.js'
import { odd } from './toc-json.js'

const stargzDigest = 'containerd.io/snapshot/stargz/toc.digest'
/** The second is the name that it had at first, with skopeo 1.9 for one. */
const chunkedPrefixes = ['io.github.containers.zstd-chunked', 'io.containers.zstd-chunked'] as const
/** Of a table's JSON, about 100,000 files: it is parsed at once, on the main thread. A first pass has no such limit. */
const maximumTocBytes = 48 << 20
const footerBytes = 51

export async function openTableOfContents(
  bytes: LayerBytes,
  signal: AbortSignal,
  log: Logger,
): Promise<LayerContents | undefined> {
  const { descriptor, blob, cache } = bytes
  const { annotations, digest } = descriptor
  const open =
    annotations[stargzDigest] !== undefined
      ? openStargz
      : chunkedAnnotation(annotations, 'manifest-checksum') !== undefined
        ? openChunked
        : undefined
  if (open === undefined) return undefined
  try {
    return await open(new CachedSource(digest, blob, cache, () => undefined), bytes, signal)
  } catch (error) {
    if (hasCode(error, 'ABORTED')) throw error
    log.warn({ layer: digest, reason: describeError(error) }, 'the table of contents is not used')
    return undefined
  }
}

async function openStargz(blob: ByteSource, bytes: LayerBytes, signal: AbortSignal): Promise<LayerContents> {
  const footer = await blob.read(Math.max(0, blob.size - footerBytes), footerBytes, { signal })
  // Header with FEXTRA of 26 bytes: subfield SG of 22, an offset of 16 hex digits, STARGZ.
  const match = /^1f8b08(04.{12})1a0053471600((?:3\d|6[1-6]){16})53544152475a/.exec(footer.toString('hex'))
  const offset = Number.parseInt(Buffer.from(match?.[2] ?? '', 'hex').toString('latin1'), 16)
  const end = blob.size - footerBytes
  if (!Number.isSafeInteger(offset) || offset <= 0 || offset >= end) throw odd('the footer is none')
  if (end - offset > maximumTocBytes) throw odd('it is too large')
  const compressed = await blob.read(offset, end - offset, { signal })
  const tar = await promisify(gunzip)(compressed, { maxOutputLength: maximumTocBytes + (1 << 20) })
  const json = memberOf(tar, 'stargz.index.json')
  requireDigest(json, bytes.descriptor.annotations[stargzDigest])
  return contentsOfToc(json.toString('utf8'), 'gzip', offset, bytes)
}

function memberOf(tar: Buffer, name: string): Buffer {
  const found: TarMember[] = []
  new TarScanner({
    onMember: (member) => {
      if (member.name.toString('latin1') === name) found.push(member)
    },
  }).push(tar, 0)
  const [member] = found
  if (member === undefined || member.dataOffset + member.size > tar.length)
    throw odd('it is not in its place')
  return tar.subarray(member.dataOffset, member.dataOffset + member.size)
}

async function openChunked(blob: ByteSource, bytes: LayerBytes, signal: AbortSignal): Promise<LayerContents> {
  const { annotations } = bytes.descriptor
  const match = /^(\d{1,15}):(\d{1,15}):(\d{1,15}):1$/.exec(
    chunkedAnnotation(annotations, 'manifest-position') ?? '',
  )
  const [offset = Number.NaN, length = 0, uncompressedLength = 0] = match?.slice(1).map(Number) ?? []
  if (!(offset > 0 && offset + length <= blob.size)) throw odd('its place is outside of the blob')
  if (length > maximumTocBytes || uncompressedLength > maximumTocBytes) throw odd('it is too large')
  const input = await blob.read(offset, length, { signal })
  requireDigest(input, chunkedAnnotation(annotations, 'manifest-checksum'))
  const json = Buffer.allocUnsafeSlow(uncompressedLength)
  await decodeZstdSpan({ input, skipBytes: 0, crc32: undefined }, json)
  return contentsOfToc(json.toString('utf8'), 'zstd', offset, bytes)
}

function chunkedAnnotation(annotations: Descriptor['annotations'], name: string): string | undefined {
  return chunkedPrefixes
    .map((prefix) => annotations[`${prefix}.${name}`])
    .find((value) => value !== undefined)
}

function requireDigest(json: Buffer, expected: string | undefined): void {
  if (`sha256:${createHash('sha256').update(json).digest('hex')}` !== expected)
    throw odd('it does not have the digest that the manifest says')
}
