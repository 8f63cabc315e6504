import type { Digest } from '../util/digest.js'
import type { Logger } from '../util/log.js'
import type { LayerTree } from './layer-tree.js'

/** A hostile layer must not fill the log. */
const loggedReasons = 10

/** No more members come. */
export function finishTree(tree: LayerTree, layer: Digest, log: Logger): void {
  tree.finish()
  for (const reason of tree.skipped.slice(0, loggedReasons)) {
    log.warn({ layer }, `a member is not shown: ${reason}`)
  }
}
