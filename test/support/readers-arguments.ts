import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./random-readers.js', import.meta.url))

export interface RandomReaders {
  readonly readers: number
  /** Of each. */
  readonly reads: number
  readonly seed: number
  readonly mode?: string | undefined
}

/** With these Node runs random-readers.ts on `disk`, whose bytes `source` has as well. */
export function readersArguments(
  { disk, source }: { readonly disk: string; readonly source: string },
  { readers, reads, seed, mode }: RandomReaders,
): readonly string[] {
  return [program, disk, source, ...[readers, reads, seed].map(String), ...(mode === undefined ? [] : [mode])]
}
