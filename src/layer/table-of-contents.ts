import type { Logger } from '../util/log.js'
import type { LayerBytes, LayerContents } from './layer-contents.js'

export async function openTableOfContents(
  _bytes: LayerBytes,
  _signal: AbortSignal,
  _log: Logger,
): Promise<LayerContents | undefined> {
  return Promise.resolve(undefined)
}
