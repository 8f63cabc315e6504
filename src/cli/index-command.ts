import { Command } from 'commander'
import type { Image, LayerStatus } from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import { RegistryFsError } from '../util/errors.js'
import { formatBytes } from '../util/range.js'
import { coreOptions, withCore, type CommandCore, type CoreFlags } from './core-options.js'
import { writeOut } from './output.js'
import { startProgress } from './progress.js'
import { reportFailure } from './report-failure.js'
import { tell } from './tell.js'

export function indexCommand(): Command {
  const command = new Command('index')
    .description('run the first pass of images ahead of time, so that the first mount finds index and chunks')
    .argument('<reference...>', 'the images: [registry/]repository[:tag][@digest], oci:DIR[:ref], …')
    .addHelpText(
      'after',
      `
Shows a progress bar on a terminal. An interrupted run continues where it stopped.

Example:
  registryfs index quay.io/containerdisks/fedora:latest`,
    )
  return coreOptions(command).action(async (references: readonly string[], flags: CoreFlags) =>
    withCore(flags, async (core, signal) => {
      if (core.readOnlyReason !== undefined) {
        throw new RegistryFsError('HOST', `an index has nowhere to go: ${core.readOnlyReason}`)
      }
      let status: typeof process.exitCode
      for (const reference of references.map((text) => core.parseReference(text))) {
        try {
          await indexImage(core, await core.openImage(reference, { signal }), signal)
        } catch (error) {
          if (signal.aborted) throw error
          reportFailure(error, formatReference(reference))
          status ??= process.exitCode
        }
      }
      if (status !== undefined) process.exitCode = status
    }),
  )
}

/** HOST when an index could not be kept. */
async function indexImage(core: CommandCore, image: Image, signal: AbortSignal): Promise<void> {
  const name = formatReference(image.reference)
  const before = new Set((await image.layerStatus()).filter(isIndexed).map(({ digest }) => digest))
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
  const indexBytes = layers.reduce((sum, layer) => sum + layer.indexBytes, 0)
  const tarBytes = layers.reduce((sum, layer) => sum + layer.frontierUncompressed, 0)
  const seconds = (performance.now() - started) / 1000
  await writeOut(
    `${name}: ${String(layers.length)} ${layers.length === 1 ? 'layer' : 'layers'}, ${formatBytes(total(image))} of blobs, ` +
      `${formatBytes(tarBytes)} of tar, index ${formatBytes(indexBytes)}, ${seconds.toFixed(2)} s\n`,
  )
  if (image.reference.transport !== undefined) return
  const indexed = layers.filter(isIndexed)
  const unfetched = missingBytes(indexed.filter(({ digest }) => before.has(digest)))
  if (unfetched > 0)
    tell(
      `${name}: ${formatBytes(unfetched)} of its chunks are not cached: the index was there already, who reads fetches them`,
    )
  const unkept = missingBytes(indexed.filter(({ digest }) => !before.has(digest)))
  if (unkept === 0) return
  const { cache } = await core.status()
  const reason =
    cache.diskError ?? 'there was no room for them (--cache-size), or the disk took none for a while'
  tell(`${name}: ${formatBytes(unkept)} of its chunks are not kept: ${reason}`)
}

function isIndexed({ indexBytes }: LayerStatus): boolean {
  return indexBytes > 0
}

/** Of the compressed ones, those that are not in the disk cache. */
function missingBytes(layers: readonly LayerStatus[]): number {
  return layers.reduce((sum, layer) => sum + Math.max(0, layer.size - layer.cachedBytes), 0)
}

function total(image: Image): number {
  return image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
}
