import { Command, Option } from 'commander'
import type { Image } from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import { RegistryFsError } from '../util/errors.js'
import { formatBytes } from '../util/range.js'
import { checkQcow2 } from './check-qcow2.js'
import { coreOptions, withCore, type CommandCore, type CoreFlags } from './core-options.js'
import { writeOut } from './output.js'
import { qemuFormats, qemuJson, type QemuFormat } from './qemu-json.js'
import { resolveFile } from './resolve-path.js'

interface InspectFlags extends CoreFlags {
  readonly json?: boolean
  readonly member?: string
  readonly format: QemuFormat
}

export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description(
      'show what an image is made of and what is cached of it; reads no layer unless --member asks for it',
    )
    .argument('<reference>', 'the image: [registry/]repository[:tag][@digest], oci:DIR[:ref], …')
    .addOption(new Option('--json', 'as one JSON object').conflicts('member'))
    .option(
      '--member <path>',
      "print the json: argument by which qemu-img reads this file of a local image by itself: the file's bytes as they are, at its offset in the layer",
    )
    .addOption(
      new Option(
        '--format <format>',
        'of the disk that --member names; qcow2: the argument is the disk in it',
      )
        .choices(qemuFormats)
        .default('raw'),
    )
    .addHelpText(
      'after',
      `
A member has such an argument where its layer is a local file that is not compressed, and in containers-storage. qemu never guesses what is in the
file: by the default argument it is a raw disk, so qemu-img convert of a qcow2 gives the qcow2 file again. With --format qcow2 it is the disk in it;
a qcow2 that names another file (backing file, external data file) is refused, for that could be any file of this machine.

Example:
  qemu-img info "$(registryfs inspect --member disk/downloaded --format qcow2 docker-archive:disk.tar)"`,
    )
  return coreOptions(command).action(async (reference: string, flags: InspectFlags) =>
    withCore(flags, async (core, signal) => {
      const image = await core.openImage(reference, { signal })
      if (flags.member !== undefined) {
        await printMember(core, image, flags.member, flags.format, signal)
        return
      }
      const layers = await image.layerStatus()
      const { manifest } = image
      if (flags.json === true) {
        const whole = {
          reference: formatReference(image.reference),
          digest: manifest.digest,
          topDigest: manifest.topDigest,
          mediaType: manifest.mediaType,
          platform: image.platform ?? null,
          config: manifest.config.digest,
          layers,
        }
        await writeOut(`${JSON.stringify(whole, null, 2)}\n`)
        return
      }
      await writeOut(
        `reference  ${formatReference(image.reference)}\n` +
          `digest     ${manifest.digest}\n` +
          (manifest.topDigest === manifest.digest ? '' : `index      ${manifest.topDigest}\n`) +
          `type       ${manifest.mediaType}\n` +
          `platform   ${image.platform ?? 'not said'}\n` +
          `layers     ${String(layers.length)}, base first\n`,
      )
      for (const layer of layers) {
        const index =
          layer.indexBytes === 0
            ? 'no index'
            : `index ${formatBytes(layer.indexBytes)}, ${counted(layer.seekPoints, 'seek point')}, ${counted(layer.members, 'member')}`
        const tar = layer.state === 'ready' ? `, ${formatBytes(layer.frontierUncompressed)} of tar` : ''
        await writeOut(
          `\n  ${layer.digest}\n` +
            `    type     ${layer.mediaType}\n` +
            `    size     ${formatBytes(layer.size)}${tar}\n` +
            `    diff ID  ${layer.diffId ?? 'not said'}\n` +
            `    index    ${index}\n` +
            `    cached   ${formatBytes(layer.cachedBytes)}\n`,
        )
      }
    }),
  )
}

function counted(count: number, what: string): string {
  return `${String(count)} ${what}${count === 1 ? '' : 's'}`
}

async function printMember(
  core: CommandCore,
  image: Image,
  path: string,
  format: QemuFormat,
  signal: AbortSignal,
): Promise<void> {
  const node = await resolveFile(image, path, { signal })
  const { localPlaceOf } = await import('../image/local-place.js')
  try {
    const place = await localPlaceOf(
      image,
      node,
      async (reference, descriptor) => core.locate(reference, descriptor),
      { signal },
    )
    if (format === 'qcow2') await checkQcow2(node.open(), { signal })
    await writeOut(`${qemuJson(place, format)}\n`)
  } catch (error) {
    throw error instanceof RegistryFsError
      ? new RegistryFsError(error.code, `${path}: no argument for qemu-img: ${error.message}`)
      : error
  }
}
