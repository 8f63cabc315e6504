import { LRUCache } from 'lru-cache'
import type { Image, Images } from '../image/image.js'
import type { Reference } from '../registry/reference.js'
import type { ReadOptions } from '../util/abort.js'
import { hasCode } from '../util/errors.js'
import { ImageDirectory, type Member } from './member.js'

const maxRemembered = 4096

/** From a reference to the directory that shows its image, the same object as long as the image is the same. */
export class ImageFinder {
  readonly #images: Images
  readonly #directories = new LRUCache<string, ImageDirectory>({ max: maxRemembered })

  constructor(images: Images) {
    this.#images = images
  }

  /** The root of the image, for the name `path` in the mount. Undefined: no such image. Other failures are thrown. */
  async find(path: string, reference: Reference, options?: ReadOptions): Promise<Member | undefined> {
    const image = await this.#open(reference, options)
    return image === undefined ? undefined : this.#rootOf(path, image)
  }

  /** The same where the image must be there: NOT_FOUND with the reason. */
  async get(path: string, reference: Reference, options?: ReadOptions): Promise<Member> {
    return this.#rootOf(path, await this.#images.open(reference, options))
  }

  #rootOf(path: string, image: Image): Member {
    let directory = this.#directories.get(path)
    if (directory?.image !== image) {
      directory = new ImageDirectory(image)
      this.#directories.set(path, directory)
    }
    return directory.root
  }

  /**
   * Whether a repository has this tag. "No" also where the registry refuses to say: Docker Hub answers 401 for
   * repositories that do not exist, so a namespace looks just like that.
   */
  async exists(reference: Reference, options?: ReadOptions): Promise<boolean> {
    try {
      return await this.#images.exists(reference, options)
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'UNAUTHORIZED', 'DENIED', 'INVALID')) return false
      throw error
    }
  }

  opened(): readonly Image[] {
    return this.#images.opened()
  }

  async #open(reference: Reference, options?: ReadOptions): Promise<Image | undefined> {
    try {
      return await this.#images.open(reference, options)
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }
}
