import { Command } from 'commander'
import { formatReference } from '../registry/reference.js'
import { formatBytes } from '../util/range.js'
import { coreOptions, withCore, type CoreFlags } from './core-options.js'
import { writeOut } from './output.js'

interface InspectFlags extends CoreFlags {
  readonly json?: boolean
}

export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('show what an image is made of and what is cached of it; reads no layer')
    .argument('<reference>', 'the image: [registry/]repository[:tag][@digest]')
    .option('--json', 'as one JSON object')
  return coreOptions(command).action(async (reference: string, flags: InspectFlags) =>
    withCore(flags, async (core, signal) => {
      const image = await core.images.open(core.parseReference(reference), { signal })
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
