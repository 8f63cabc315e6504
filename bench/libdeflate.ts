import { join } from 'node:path'
import { packageRoot } from '../src/util/package-root.js'
import { run, type CommandOptions } from './command.js'

/** CPU seconds that libdeflate takes for a gzip file of one member. */
export type LibdeflateSeconds = (path: string, uncompressedBytes: number) => Promise<number>

/** Compiles bench/libdeflate-seconds.c. */
export async function compileLibdeflate(work: string, options: CommandOptions): Promise<LibdeflateSeconds> {
  const program = join(work, 'libdeflate-seconds')
  const source = join(packageRoot, 'bench/libdeflate-seconds.c')
  await run(['cc', '-O2', '-Wall', '-o', program, source, '-ldeflate'], options)
  return async (path, uncompressedBytes) =>
    Number(await run([program, path, String(uncompressedBytes)], options))
}
