import { Command } from 'commander'
import { clampLength } from '../blob/source.js'
import { RegistryFsError } from '../util/errors.js'
import { coreOptions, withCore, type CoreFlags } from './core-options.js'
import { parseSize } from './sizes.js'
import { resolveFile } from './resolve-path.js'
import { writeOut } from './output.js'

interface CatFlags extends CoreFlags {
  readonly offset: number
  readonly length?: number
}

/** Large enough that a round trip through the event loop does not count, small enough to begin at once. */
const pieceBytes = 1 << 20

export function catCommand(): Command {
  const command = new Command('cat')
    .description('write a file of an image to standard output, without a mount')
    .argument('<reference>', 'the image: [registry/]repository[:tag][@digest], oci:DIR[:ref], …')
    .argument('<path>', 'a file inside the image; symlinks are followed inside it')
    .option('--offset <bytes>', 'begin there', parseSize, 0)
    .option('--length <bytes>', 'so many bytes at most', parseSize)
    .addHelpText(
      'after',
      `
Example:
  registryfs cat quay.io/containerdisks/fedora:latest disk/disk.img --length 1M | file -`,
    )
  return coreOptions(command).action(async (reference: string, path: string, flags: CatFlags) =>
    withCore(flags, async (core, signal) => {
      const image = await core.openImage(reference, { signal })
      const node = await resolveFile(image, path, { signal })
      const source = node.open()
      const end =
        flags.offset + clampLength(source.size, flags.offset, flags.length ?? Number.MAX_SAFE_INTEGER)
      for (let offset = flags.offset; offset < end;) {
        const bytes = await source.read(offset, Math.min(pieceBytes, end - offset), { signal })
        if (bytes.length === 0)
          throw new RegistryFsError('CORRUPT', `${path} ends at ${String(offset)}, before its size`)
        await writeOut(bytes)
        offset += bytes.length
      }
    }),
  )
}
