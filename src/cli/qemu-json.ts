import type { LocalPlace } from '../image/local-place.js'

/** qemu's raw driver on a part of a file, as an argument for qemu-img: qemu-block-drivers(7), `json:`. */
export function qemuJson({ path, offset, size }: LocalPlace): string {
  return `json:${JSON.stringify({ driver: 'raw', offset, size, file: { driver: 'file', filename: path } })}`
}
