import { open, readFile, type FileHandle } from 'node:fs/promises'
import { crc32 } from '../native.js'
import { throwIfAborted } from '../util/abort.js'
import { describeError } from '../util/errors.js'
import { codeOf, isShortage } from '../util/unreadable.js'
import type { BufferPool } from './buffer-pool.js'
import { blocksOf, decodeSums, sumBlockBytes, type MemberPlace } from './member-sums.js'

/** Of one go at checking: the main thread takes half a millisecond for it. */
const checkBytes = 4 << 20

export interface MemberFileOptions {
  readonly place: MemberPlace
  readonly path: string
  /** On disk, with its sums. */
  readonly bytes: number
  /** This process has written it, and the disk has taken it. */
  readonly isTrusted: boolean
  readonly pool: BufferPool
  /** It cannot be used any more, and why; undefined: somebody has deleted it. */
  readonly onDamage: (file: MemberFile, reason: string | undefined) => void
}

/**
 * A member of a layer as a sparse file of its own. Each block is held against its checksum when it is first read in this
 * process; once all were, the file is trusted, and the kernel may read it by itself. Whoever uses it counts as its user.
 */
export class MemberFile {
  readonly place: MemberPlace
  readonly path: string
  readonly bytes: number
  readonly #pool: BufferPool
  readonly #onDamage: MemberFileOptions['onDamage']
  #users = 0
  #opening: Promise<FileHandle | undefined> | undefined
  #handle: FileHandle | undefined
  #sums: Uint32Array | undefined
  /** By block, while it is open. */
  #checked: Uint8Array | undefined
  #unchecked = 0
  #isTrusted: boolean
  #isDamaged = false

  constructor({ place, path, bytes, isTrusted, pool, onDamage }: MemberFileOptions) {
    this.place = place
    this.path = path
    this.bytes = bytes
    this.#isTrusted = isTrusted
    this.#pool = pool
    this.#onDamage = onDamage
  }

  get isInUse(): boolean {
    return this.#users > 0
  }

  get isTrusted(): boolean {
    return this.#isTrusted && !this.#isDamaged
  }

  /** While it is in use. */
  get descriptor(): number | undefined {
    return this.#isDamaged ? undefined : this.#handle?.fd
  }

  /** Takes effect at once, so that it is not evicted. False: it cannot be read, and there is nothing to release. */
  async acquire(): Promise<boolean> {
    this.#users++
    this.#opening ??= this.#open()
    this.#handle = await this.#opening
    if (this.#handle !== undefined && !this.#isDamaged) return true
    this.release()
    return false
  }

  release(): void {
    if (--this.#users > 0) return
    const opening = this.#opening
    this.#opening = undefined
    this.#handle = undefined
    this.#sums = undefined
    this.#checked = undefined
    void opening?.then(async (handle) => handle?.close()).catch(() => undefined)
  }

  /** Fills all of `target`. False: it cannot, and will not unless what was short is there again. For users. */
  async readInto(offset: number, target: Buffer): Promise<boolean> {
    const handle = this.#handle
    if (handle === undefined || this.#isDamaged) return false
    this.#users++
    try {
      const first = Math.floor(offset / sumBlockBytes)
      const end = blocksOf(offset + target.length)
      if (this.#areChecked(first, end))
        return (await fill(handle, target, offset)) || this.#damaged('it is cut off')
      const start = first * sumBlockBytes
      const length = Math.min(end * sumBlockBytes, this.place.size) - start
      if (length === target.length) return await this.#readChecked(handle, first, target)
      return await this.#pool.lend(length, async (blocks) => {
        const isRead = await this.#readChecked(handle, first, blocks)
        if (isRead) blocks.copy(target, 0, offset - start)
        return isRead
      })
    } catch (error) {
      return !isShortage(error) && this.#damaged(describeError(error))
    } finally {
      this.release()
    }
  }

  /** Reads what was not read yet; afterwards it is trusted, unless it is damaged. `pause` is awaited in between. For users. */
  async verify(pause: () => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.#pool.lend(Math.min(checkBytes, this.place.size), async (buffer) => {
      for (let at = 0; at < this.place.size && !this.#isTrusted; at += buffer.length) {
        throwIfAborted(signal)
        const target = buffer.subarray(0, this.place.size - at)
        if (this.#areChecked(Math.floor(at / sumBlockBytes), blocksOf(at + target.length))) continue
        await pause()
        if (!(await this.readInto(at, target))) return
      }
    })
  }

  /** Whole blocks. */
  async #readChecked(handle: FileHandle, first: number, target: Buffer): Promise<boolean> {
    if (!(await fill(handle, target, first * sumBlockBytes))) return this.#damaged('it is cut off')
    return this.#check(first, target) || this.#damaged('its content is not what was written')
  }

  async #open(): Promise<FileHandle | undefined> {
    let handle: FileHandle | undefined
    try {
      handle = await open(this.path, 'r')
      const status = await handle.stat()
      if (!status.isFile() || status.size !== this.place.size) throw new Error('its size is another')
      if (this.#isTrusted) return handle
      this.#sums = decodeSums(await readFile(sumsPath(this.path)), this.place)
      if (this.#sums === undefined) throw new Error('its checksums are damaged')
      this.#unchecked = this.#sums.length
      this.#checked = new Uint8Array(this.#sums.length)
      return handle
    } catch (error) {
      await handle?.close().catch(() => undefined)
      if (!isShortage(error)) this.#damaged(codeOf(error) === 'ENOENT' ? undefined : describeError(error))
      return undefined
    }
  }

  #areChecked(first: number, end: number): boolean {
    return this.#isTrusted || this.#checked?.subarray(first, end).includes(0) === false
  }

  /** `blocks` begins with block `first`. */
  #check(first: number, blocks: Buffer): boolean {
    const checked = this.#checked
    // Closed in the middle: nobody waits for these bytes.
    if (checked === undefined || this.#sums === undefined) return this.#isTrusted
    for (let at = 0, i = first; at < blocks.length; at += sumBlockBytes, i++) {
      if (checked[i] === 1) continue
      if (crc32(blocks.subarray(at, at + sumBlockBytes)) !== this.#sums[i]) return false
      // Two that read the same block at once count it once.
      checked[i] = 1
      if (--this.#unchecked === 0) this.#isTrusted = true
    }
    return true
  }

  #damaged(reason: string | undefined): false {
    if (!this.#isDamaged) {
      this.#isDamaged = true
      this.#onDamage(this, reason)
    }
    return false
  }
}

/** Of the file beside it. */
export function sumsPath(path: string): string {
  return `${path}.sums`
}

async function fill(handle: FileHandle, target: Buffer, offset: number): Promise<boolean> {
  for (let filled = 0; filled < target.length;) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, offset + filled)
    if (bytesRead === 0) return false
    filled += bytesRead
  }
  return true
}
