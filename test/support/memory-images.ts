import type { ByteSource } from '../../src/blob/source.js'
import { clampLength } from '../../src/blob/source.js'
import type {
  Image,
  ImageEntry,
  ImageNode,
  Images,
  NodeAttributes,
  NodeOrigin,
} from '../../src/image/image.js'
import type { LayerStatus } from '../../src/image/image.js'
import {
  formatReference,
  parseReference,
  type Reference,
  type Repository,
} from '../../src/registry/reference.js'
import type { ImageManifest } from '../../src/registry/registry.js'
import { abortable, sleep, type ReadOptions } from '../../src/util/abort.js'
import { digestOf, type Digest } from '../../src/util/digest.js'
import { RegistryFsError } from '../../src/util/errors.js'

/** What a node is made of; see file, dir, symlink and node. */
export interface MemoryContents {
  readonly attributes: Partial<NodeAttributes> & Pick<NodeAttributes, 'type'>
  readonly source?: ByteSource
  readonly linkName?: string
  readonly xattrs?: Readonly<Record<string, string>>
  /** Names are latin1: one character for each byte. */
  readonly entries?: Readonly<Record<string, MemoryContents>>
  /** What lookup, entries and open throw. */
  readonly error?: RegistryFsError
  readonly delayMs?: number
}

type Extra = Partial<NodeAttributes> & Pick<MemoryContents, 'xattrs' | 'error' | 'delayMs'>

export function node(
  type: NodeAttributes['type'],
  extra: Extra & Omit<MemoryContents, 'attributes'> = {},
): MemoryContents {
  const { xattrs, error, delayMs, source, linkName, entries, ...attributes } = extra
  return {
    attributes: { ...attributes, type },
    ...(xattrs && { xattrs }),
    ...(error && { error }),
    ...(delayMs !== undefined && { delayMs }),
    ...(source && { source }),
    ...(linkName !== undefined && { linkName }),
    ...(entries && { entries }),
  }
}

export function dir(entries: Readonly<Record<string, MemoryContents>>, extra: Extra = {}): MemoryContents {
  return node('directory', { mode: 0o755, ...extra, entries })
}

export function file(content: string | Buffer | ByteSource, extra: Extra = {}): MemoryContents {
  const source =
    typeof content === 'string' || Buffer.isBuffer(content) ? bytesSource(Buffer.from(content)) : content
  return node('file', { mode: 0o644, size: source.size, ...extra, source })
}

export function symlink(linkName: string, extra: Extra = {}): MemoryContents {
  return node('symlink', { mode: 0o777, ...extra, linkName })
}

export function bytesSource(bytes: Buffer): ByteSource {
  return {
    size: bytes.length,
    read: async (offset, length) =>
      Promise.resolve(bytes.subarray(offset, offset + clampLength(bytes.length, offset, length))),
  }
}

/** Bytes that tell their place: 8 at a time hold their own offset, little endian. Of any size. */
export function patternSource(size: number): ByteSource {
  return {
    size,
    read: async (offset, length) => {
      const end = offset + clampLength(size, offset, length)
      const first = offset - (offset % 8)
      const words = Buffer.alloc(Math.ceil((end - first) / 8) * 8)
      for (let at = 0; at < words.length; at += 8) words.writeBigUInt64LE(BigInt(first + at), at)
      return Promise.resolve(words.subarray(offset - first, end - first))
    },
  }
}

/** Zeros, but for the bytes of `pattern` in some ranges; it knows its holes. */
export function sparseSource(
  size: number,
  data: readonly (readonly [start: number, end: number])[],
): ByteSource {
  const pattern = patternSource(size)
  return {
    size,
    read: async (offset, length) => {
      const bytes = Buffer.alloc(clampLength(size, offset, length))
      for (const [start, end] of data) {
        const from = Math.max(start, offset)
        const to = Math.min(end, offset + bytes.length)
        if (from < to) (await pattern.read(from, to - from)).copy(bytes, from - offset)
      }
      return bytes
    },
    seek: async (whence, offset, end) => {
      const inside = data.find(([start, after]) => offset >= start && offset < after)
      const next = data.find(([start]) => start > offset)?.[0] ?? end
      const found = whence === 'data' ? (inside === undefined ? next : offset) : (inside?.[1] ?? offset)
      return Promise.resolve(Math.min(found, end))
    },
  }
}

/** Answers never, or when its reader gives up. */
export function stuckSource(size: number): ByteSource {
  return {
    size,
    read: async (_offset, _length, options) =>
      abortable(new Promise<Buffer>(() => undefined), options?.signal),
  }
}

const layerDigest = digestOf(Buffer.from('a layer'))

class MemoryNode implements ImageNode {
  get type(): NodeAttributes['type'] {
    return this.attributes.type
  }

  readonly attributes: NodeAttributes
  readonly linkName: Buffer
  readonly xattrs: ReadonlyMap<string, Buffer>
  readonly isBare: boolean
  readonly origin: NodeOrigin
  readonly #contents: MemoryContents
  readonly #entries: ReadonlyMap<string, ImageNode>

  constructor(contents: MemoryContents, made: Map<MemoryContents, ImageNode>) {
    made.set(contents, this)
    this.#contents = contents
    this.attributes = {
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: 0,
      mtimeSeconds: 1_700_000_000,
      mtimeNanoseconds: 0,
      deviceMajor: 0,
      deviceMinor: 0,
      linkCount: 1,
      ...contents.attributes,
    }
    this.linkName = Buffer.from(contents.linkName ?? '', 'latin1')
    this.xattrs = new Map(
      Object.entries(contents.xattrs ?? {}).map(([name, value]) => [name, Buffer.from(value)]),
    )
    this.isBare = this.xattrs.size === 0
    this.origin = {
      layer: layerDigest,
      layerIndex: 0,
      mediaType: 'application/x-test',
      headerOffset: 512,
      dataOffset: 1024,
    }
    const entries = Object.entries(contents.entries ?? {})
    this.#entries = new Map(entries.map(([name, one]) => [name, made.get(one) ?? new MemoryNode(one, made)]))
  }

  async lookup(name: Buffer, options?: ReadOptions): Promise<ImageNode | undefined> {
    await this.#answer(options)
    return this.#entries.get(name.toString('latin1'))
  }

  async entries(options?: ReadOptions): Promise<readonly ImageEntry[]> {
    await this.#answer(options)
    return [...this.#entries].map(([name, one]) => ({
      name: Buffer.from(name, 'latin1'),
      type: one.type,
      node: one,
    }))
  }

  async *watch(options?: ReadOptions): AsyncIterable<ImageEntry> {
    yield* await this.entries(options)
  }

  open(): ByteSource {
    if (this.#contents.error !== undefined) throw this.#contents.error
    return this.#contents.source ?? bytesSource(Buffer.alloc(0))
  }

  async #answer(options?: ReadOptions): Promise<void> {
    if (this.#contents.delayMs !== undefined) await sleep(this.#contents.delayMs, options?.signal)
    if (this.#contents.error !== undefined) throw this.#contents.error
    if (this.attributes.type !== 'directory')
      throw new RegistryFsError('NOT_A_DIRECTORY', 'is not a directory')
  }
}

class MemoryImage implements Image {
  readonly reference: Reference
  readonly manifest: ImageManifest
  readonly platform = 'linux/amd64'
  readonly root: ImageNode
  readonly isProven = true
  readonly isGone = false
  layers: readonly LayerStatus[] = []
  progress: number | undefined
  holds = 0

  constructor(reference: Reference, root: MemoryContents, digest: Digest) {
    this.reference = reference
    this.root = new MemoryNode(root, new Map())
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 2, annotations: {} }
    this.manifest = { digest, topDigest: digest, mediaType, config, layers: [] }
  }

  async layerStatus(): Promise<readonly LayerStatus[]> {
    return Promise.resolve(this.layers)
  }

  hold(): () => void {
    this.holds++
    return () => {
      this.holds--
    }
  }

  async index(): Promise<void> {
    return Promise.resolve()
  }

  async fetchMissing(): Promise<undefined> {
    return Promise.resolve(undefined)
  }
}

/** Images made of JavaScript objects, and a registry that lists them. No TTL: a tag moves at once, unless it is pinned. */
export class MemoryImages implements Images {
  readonly #images = new Map<string, MemoryImage>()
  readonly #opened = new Map<string, MemoryImage>()
  readonly #errors = new Map<string, RegistryFsError>()
  isPinned: (image: Image) => boolean = () => false
  /** Every question that a registry would have been asked. */
  readonly requests: string[] = []
  #made = 0

  set(text: string, root: MemoryContents): void {
    const reference = parseReference(text)
    const digest = digestOf(Buffer.from(`${text} ${String(++this.#made)}`))
    this.#images.set(formatReference(reference), new MemoryImage(reference, root, digest))
  }

  /** What open and exists of this reference throw. */
  fail(text: string, error: RegistryFsError): void {
    this.#errors.set(formatReference(parseReference(text)), error)
  }

  async open(reference: Reference): Promise<Image> {
    const key = formatReference(reference)
    const opened = this.#opened.get(key)
    if (opened !== undefined && this.isPinned(opened)) return opened
    this.#ask(`open ${key}`, key)
    const image = this.#images.get(key)
    if (image === undefined) throw new RegistryFsError('NOT_FOUND', `no image ${key}`)
    this.#opened.set(key, image)
    return Promise.resolve(image)
  }

  async exists(reference: Reference): Promise<boolean> {
    const key = formatReference(reference)
    this.#ask(`exists ${key}`, key)
    return Promise.resolve(this.#images.has(key))
  }

  opened(): readonly Image[] {
    return [...this.#opened.values()]
  }

  async listRepositories(host: string): Promise<readonly string[] | undefined> {
    this.#ask(`catalog ${host}`, host)
    if (host === 'docker.io') return Promise.resolve(undefined)
    const here = [...this.#images.values()].filter((image) => image.reference.host === host)
    return Promise.resolve([...new Set(here.map((image) => image.reference.path))])
  }

  async listTags({ host, path }: Repository): Promise<readonly string[] | undefined> {
    this.#ask(`tags ${host}/${path}`, `${host}/${path}`)
    const here = [...this.#images.values()].filter(
      ({ reference }) => reference.host === host && reference.path === path,
    )
    return Promise.resolve(here.flatMap(({ reference }) => reference.tag ?? []))
  }

  #ask(request: string, key: string): void {
    this.requests.push(request)
    const error = this.#errors.get(key)
    if (error !== undefined) throw error
  }
}
