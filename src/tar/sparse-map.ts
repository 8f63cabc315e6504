/**
 * Where the content of a sparse file belongs: offset and length of one region of data after another, in order and
 * apart. In the tar the regions follow each other without the holes.
 */
export type SparseMap = Float64Array

export function storedBytesOf(map: SparseMap): number {
  let sum = 0
  for (let i = 1; i < map.length; i += 2) sum += map[i] as number
  return sum
}
