import { Command, Option } from 'commander'
import type { Image } from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import { RegistryFsError } from '../util/errors.js'
import { formatBytes } from '../util/range.js'
import { coreOptions, withCore, type CommandCore, type CoreFlags } from './core-options.js'
import { writeOut } from './output.js'
import { qemuJson } from './qemu-json.js'
import { resolvePath } from './resolve-path.js'

interface InspectFlags extends CoreFlags {
  readonly json?: boolean
  readonly member?: string
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
      "print the json: argument by which qemu-img reads this file of a local image by itself, at the file's offset in the layer",
    )
    .addHelpText(
      'after',
      `
A member has such an argument where its layer is a local file that is not compressed, and in containers-storage.

Example:
  qemu-img info "$(registryfs inspect --member disk/downloaded docker-archive:disk.tar)"`,
    )
  return coreOptions(command).action(async (reference: string, flags: InspectFlags) =>
    withCore(flags, async (core, signal) => {
      const image = await core.openImage(reference, { signal })
      if (flags.member !== undefined) {
        await printMember(core, image, flags.member, signal)
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
            : `index ${formatBytes(layer.indexBytes)}, ${String(layer.seekPoints)} seek points, ${String(layer.members)} members`
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

async function printMember(
  core: CommandCore,
  image: Image,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const node = await resolvePath(image, path, { signal })
  if (node.attributes.type !== 'file')
    throw new RegistryFsError('INVALID', `${path} is a ${node.attributes.type}, not a file`)
  const { localPlaceOf } = await import('../image/local-place.js')
  try {
    const place = await localPlaceOf(
      image,
      node,
      async (reference, descriptor) => core.locate(reference, descriptor),
      { signal },
    )
    await writeOut(`${qemuJson(place)}\n`)
  } catch (error) {
    throw error instanceof RegistryFsError
      ? new RegistryFsError(error.code, `${path}: no argument for qemu-img: ${error.message}`)
      : error
  }
}
