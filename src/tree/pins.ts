import type { Image } from '../image/image.js'

/** How many open handles each image has. While it has any, its tag is not revalidated: an open file never changes. */
export class Pins {
  readonly #counts = new Map<Image, number>()

  pin(image: Image): void {
    this.#counts.set(image, this.openCount(image) + 1)
  }

  unpin(image: Image): void {
    const left = this.openCount(image) - 1
    if (left > 0) this.#counts.set(image, left)
    else this.#counts.delete(image)
  }

  openCount(image: Image): number {
    return this.#counts.get(image) ?? 0
  }
}
