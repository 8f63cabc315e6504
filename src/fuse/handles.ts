import { RegistryFsError } from '../util/errors.js'
import type { FileHandle } from './binding.js'

/** libfuse2 keeps 64 bits, fuse-native 31 of them; numbers start again there and skip those in use. */
const largestHandle = 0x7fff_ffff

/** What is open, by number. A number names nothing once it was closed, until it comes round again after two thousand million others. */
export class HandleTable<T> {
  readonly #open = new Map<FileHandle, T>()
  readonly #largest: number
  #last = 0

  constructor(largest = largestHandle) {
    this.#largest = largest
  }

  add(value: T): FileHandle {
    if (this.#open.size >= this.#largest) throw new RegistryFsError('LIMIT', 'too many open files')
    do {
      this.#last = this.#last >= this.#largest ? 1 : this.#last + 1
    } while (this.#open.has(this.#last as FileHandle))
    const handle = this.#last as FileHandle
    this.#open.set(handle, value)
    return handle
  }

  find(handle: FileHandle): T | undefined {
    return this.#open.get(handle)
  }

  /** Throws BAD_HANDLE. */
  get(handle: FileHandle): T {
    const value = this.#open.get(handle)
    if (value === undefined) throw new RegistryFsError('BAD_HANDLE', `handle ${String(handle)} is not open`)
    return value
  }

  /** Undefined when it was not open. */
  remove(handle: FileHandle): T | undefined {
    const value = this.#open.get(handle)
    this.#open.delete(handle)
    return value
  }

  get size(): number {
    return this.#open.size
  }
}
