import type { FetchOptions, Unkept } from '../blob/missing-chunks.js'
import type { ByteSource } from '../blob/source.js'
import type { LayerStatus } from '../layer/layer-status.js'
import type { ImageManifest } from '../registry/registry.js'
import type { Reference } from '../registry/reference.js'
import type { MemberType } from '../tar/member.js'
import type { ReadOptions } from '../util/abort.js'
import type { Digest } from '../util/digest.js'

/** What stat shows of a node of an image. */
export interface NodeAttributes {
  readonly type: Exclude<MemberType, 'hardlink'>
  /** The lower 12 bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** Names of this node in the image, hidden ones not counted; 1 for directories. */
  readonly linkCount: number
  /** Units of 512 bytes that are data; undefined where no holes are known (yet). */
  readonly blocks?: number | undefined
}

/** Where a node's bytes lie; undefined fields: a directory that no layer names. */
export interface NodeOrigin {
  /** The layer's digest, and its position in the image, 0 = base. */
  readonly layer: Digest
  readonly layerIndex: number
  readonly mediaType: string
  readonly headerOffset: number
  readonly dataOffset: number
}

/**
 * Files of an image that are numbers until somebody asks for one, for there may be a million. A number stands for the
 * same file as long as this is the same object.
 */
export interface NumberedFiles {
  nodeAt(index: number): ImageNode
  /** The node's, without making it. */
  attributesAt(index: number): NodeAttributes
  isBareAt(index: number): boolean
}

/** Which of them one is. */
export interface FileNumber {
  readonly files: NumberedFiles
  readonly index: number
}

export interface ImageEntry {
  readonly name: Buffer
  readonly type: NodeAttributes['type']
  /** Made when it is asked for where it is a number. */
  readonly node: ImageNode
  /** Undefined where all that there is to know takes the node. */
  readonly number?: FileNumber | undefined
}

/**
 * A node of the merged view of an image. The same object comes back for the same file as long as the image is open,
 * also for hard links, so that object identity can carry inode numbers.
 */
export interface ImageNode {
  /** That of the attributes, found faster. */
  readonly type: NodeAttributes['type']
  readonly attributes: NodeAttributes
  readonly origin: NodeOrigin | undefined
  /** Symlink target as stored; empty for others. */
  readonly linkName: Buffer
  readonly xattrs: ReadonlyMap<string, Buffer>
  /** Certain to have no xattrs for as long as this is the same object; absent: it may get some. */
  readonly isBare?: boolean
  /** Of those that are files of a NumberedFiles. */
  readonly number?: FileNumber | undefined

  /** Undefined when there is no such name. Waits for a running first pass only as far as it must. NOT_A_DIRECTORY for non-directories. */
  lookup(name: Buffer, options?: ReadOptions): Promise<ImageNode | undefined>

  /** The same where all that it takes is in memory and at rest; undefined otherwise, and where there is no such name. */
  peek?(name: Buffer): ImageNode | undefined

  /** All entries, sorted by bytes; waits for the first passes to end. NOT_A_DIRECTORY for non-directories. */
  entries(options?: ReadOptions): Promise<readonly ImageEntry[]>

  /** Those of `entries` where all that it takes is in memory and at rest; undefined otherwise. */
  peekEntries?(): readonly ImageEntry[] | undefined

  /** The same entries, each as soon as a first pass meets it: the top-most layer's first, in the order of its tar. */
  watch(options?: ReadOptions): AsyncIterable<ImageEntry>

  /** The content of a file. Makes no request by itself. IS_A_DIRECTORY, or UNSUPPORTED for encodings that we do not read. */
  open(): ByteSource

  /** The same, for who releases it: where members are kept as files of this machine it is read from one. Absent: nowhere. */
  openCopied?(): Promise<ByteSource>
}

export type { LayerState, LayerStatus } from '../layer/layer-status.js'

export interface Image {
  readonly reference: Reference
  readonly manifest: ImageManifest
  /** `os/architecture[/variant]` of the config; undefined until it was fetched, or when it says nothing. */
  readonly platform: string | undefined
  readonly root: ImageNode
  /** Every layer was read, and proven against its digest: nothing of the image can change any more. */
  readonly isProven: boolean
  /** Files of this machine that it was read from have changed: a new lookup leads to a new image. */
  readonly isGone: boolean
  /** Aborting leaves out what only the config says, if that has not come. */
  layerStatus(options?: ReadOptions): Promise<readonly LayerStatus[]>
  /** Changes while first passes that are under way get on, or those that they wait for; undefined when none is. */
  readonly progress: number | undefined
  /** Somebody waits for something of it or has it open, until what it returns is called: its layers are needed. */
  hold(): () => void
  /** Waits until every layer was read and proven. */
  index(options?: ReadOptions): Promise<void>
  /** What the disk lacks of its layers' blobs, once they were read: missing-chunks.ts. Nothing of images of this machine. */
  fetchMissing(options: FetchOptions): Promise<Unkept | undefined>
}

/** Opens images, each once. */
export interface Images {
  /**
   * The image behind a reference. A tag is revalidated after the TTL with a HEAD; the image of a digest stays for ever.
   * NOT_FOUND when there is none.
   */
  open(reference: Reference, options?: ReadOptions): Promise<Image>

  /** Whether `open` would find it; answers from memory within the TTL, negatives too. */
  exists(reference: Reference, options?: ReadOptions): Promise<boolean>

  /** Those opened so far, for listings and status. */
  opened(): readonly Image[]
}
