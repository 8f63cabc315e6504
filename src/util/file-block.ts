/** st_blksize, and what holes are multiples of. */
export const fileBlockBytes = 4096
