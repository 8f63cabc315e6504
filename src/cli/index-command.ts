import { Command } from 'commander'
import type { Image, LayerStatus } from '../image/image.js'
import { formatReference, type Reference } from '../registry/reference.js'
import type { Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { formatBytes } from '../util/range.js'
import { coreOptions, withCore, type CommandCore, type CoreFlags } from './core-options.js'
import { fetchChunks } from './fetch-chunks.js'
import { writeOut } from './output.js'
import { startProgress } from './progress.js'
import { reportFailure } from './report-failure.js'

export function indexCommand(): Command {
  const command = new Command('index')
    .description('run the first pass of images ahead of time, so that the next mount finds index and chunks')
    .argument('<reference...>', 'the images: [registry/]repository[:tag][@digest], oci:DIR[:ref], …')
    .addHelpText(
      'after',
      `
Where the index is there already, chunks that the cache lacks are fetched. What --cache-size or --free-reserve have no
room for is not fetched, and told of. Shows a progress bar on a terminal. An interrupted run continues where it stopped.

Example:
  registryfs index quay.io/containerdisks/fedora:latest`,
    )
  return coreOptions(command).action(async (references: readonly string[], flags: CoreFlags) =>
    withCore(flags, async (core, signal) => {
      if (core.readOnlyReason !== undefined) {
        throw new RegistryFsError('HOST', `an index has nowhere to go: ${core.readOnlyReason}`)
      }
      let status: typeof process.exitCode
      const goOn = async (reference: Reference, work: () => Promise<void>): Promise<void> => {
        try {
          await work()
        } catch (error) {
          if (signal.aborted) throw error
          reportFailure(error, formatReference(reference))
          status ??= process.exitCode
        }
      }
      const kept = new Set<Digest>()
      const indexed: { readonly image: Image; readonly unkeptBytes: number }[] = []
      for (const reference of references.map((text) => core.parseReference(text)))
        await goOn(reference, async () => {
          const image = await core.openImage(reference, { signal })
          indexed.push({ image, unkeptBytes: await indexImage(core, image, kept, signal) })
        })
      // The first pass of one image may have pushed out chunks of those before.
      for (const { image, unkeptBytes } of indexed.slice(0, -1))
        await goOn(image.reference, async () => {
          await fetchChunks(core, image, kept, signal, unkeptBytes)
        })
      if (status !== undefined) process.exitCode = status
    }),
  )
}

/** HOST when an index could not be kept. Resolves as fetchChunks does, and `kept` is its own. */
async function indexImage(
  core: CommandCore,
  image: Image,
  kept: Set<Digest>,
  signal: AbortSignal,
): Promise<number> {
  const name = formatReference(image.reference)
  const progress = await startProgress(name)
  const timer = setInterval(() => {
    const show = (layers: readonly LayerStatus[]): void => {
      progress.update(
        layers.reduce((sum, layer) => sum + layer.frontierCompressed, 0),
        total(image),
      )
    }
    // What fails is told by the work itself.
    image.layerStatus().then(show, () => undefined)
  }, 200)
  const started = performance.now()
  try {
    await image.index({ signal })
  } finally {
    clearInterval(timer)
    progress.stop()
  }
  await core.settle()
  const layers = await image.layerStatus()
  for (const { digest: layer, indexError } of layers) {
    if (indexError === undefined) continue
    throw new RegistryFsError('HOST', `the index is not kept: ${indexError}`, { layer, image: name })
  }
  const unkeptBytes = await fetchChunks(core, image, kept, signal)
  const indexBytes = layers.reduce((sum, layer) => sum + layer.indexBytes, 0)
  const tarBytes = layers.reduce((sum, layer) => sum + layer.frontierUncompressed, 0)
  const seconds = (performance.now() - started) / 1000
  await writeOut(
    `${name}: ${String(layers.length)} ${layers.length === 1 ? 'layer' : 'layers'}, ${formatBytes(total(image))} of blobs, ` +
      `${formatBytes(tarBytes)} of tar, index ${formatBytes(indexBytes)}, ${seconds.toFixed(2)} s\n`,
  )
  return unkeptBytes
}

function total(image: Image): number {
  return image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
}
