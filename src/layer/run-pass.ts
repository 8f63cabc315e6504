import { RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { finishTree } from './finish-tree.js'
import type { FirstPass, FirstPassResult } from './first-pass.js'
import type { HeaderWalk } from './header-walk.js'
import type { LayerBytes, LayerContents } from './layer-contents.js'
import { openPlain } from './plain-layer.js'

/** Reads the layer to its end. What turns out not to be compressed is opened as that. */
export async function runPass(
  pass: FirstPass,
  bytes: LayerBytes,
  signal: AbortSignal,
  log: Logger,
): Promise<FirstPassResult | HeaderWalk | LayerContents> {
  const { digest, size } = bytes.descriptor
  const started = performance.now()
  log.info({ layer: digest, bytes: size }, 'first pass starts')
  const result = await pass.run()
  if (result === undefined) {
    const plain = await openPlain(bytes, signal)
    if (plain === undefined) throw new RegistryFsError('CORRUPT', 'the layer begins in two ways')
    return plain
  }
  const ms = Math.round(performance.now() - started)
  log.info({ layer: digest, ms, tarBytes: result.tarBytes }, 'first pass done')
  finishTree(pass.progress.tree, digest, log)
  return result
}
