import type { Image } from '../image/image.js'

/** How many open handles each image has. While it has any, its tag is not revalidated: an open file never changes. */
export class Pins {
  readonly #counts = new Map<Image, number>()
  readonly #holds = new Map<Image, () => void>()

  pin(image: Image): void {
    this.#counts.set(image, this.openCount(image) + 1)
    if (!this.#holds.has(image)) this.#holds.set(image, image.hold())
  }

  unpin(image: Image): void {
    const left = this.openCount(image) - 1
    if (left > 0) {
      this.#counts.set(image, left)
      return
    }
    this.#counts.delete(image)
    this.#holds.get(image)?.()
    this.#holds.delete(image)
  }

  openCount(image: Image): number {
    return this.#counts.get(image) ?? 0
  }
}
