import type { LocalPlace } from '../image/local-place.js'

export const qemuFormats = ['raw', 'qcow2'] as const
export type QemuFormat = (typeof qemuFormats)[number]

const sectorBytes = 512

/**
 * qemu's raw driver on a part of a file, as an argument for qemu-img: qemu-block-drivers(7), `json:`. With `qcow2` its
 * driver on top of that: nothing is ever probed.
 */
export function qemuJson({ path, offset, size }: LocalPlace, format: QemuFormat = 'raw'): string {
  // Whole sectors are all that qemu takes: a tar fills its members up to them, and where there is no tar the file is all.
  const part = offset === 0 ? {} : { size: Math.ceil(size / sectorBytes) * sectorBytes }
  const raw = { driver: 'raw', offset, ...part, file: { driver: 'file', filename: path } }
  return `json:${JSON.stringify(format === 'raw' ? raw : { driver: format, file: raw })}`
}
