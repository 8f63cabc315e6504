/** The file `sparse` of memory-mount.ts: 6 GiB in which little is data. */
export const sparseBytes = 6 * 2 ** 30 + 4096
export const sparseData = [
  [8192, 12_288],
  [1 << 20, (1 << 20) + 65_536],
  [5 * 2 ** 30, 5 * 2 ** 30 + 4096],
] as const
