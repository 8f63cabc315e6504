import type { ReadOptions } from '../util/abort.js'
import { MergedDirectory } from './merged-directory.js'

/** As Linux follows them in one path. */
const maximumLinks = 40
/** A path of links to links could have us walk for long. */
const maximumSteps = 10_000

export interface FoundDirectory {
  /** Latin-1, without symbolic links. */
  readonly path: readonly string[]
  readonly node: MergedDirectory
}

/**
 * The directory at a path (Latin-1) below `root`, which links do not lead out of; undefined when there is none. `onLink`
 * is told of every symbolic link that is followed.
 */
export async function followPath(
  root: MergedDirectory,
  path: readonly string[],
  options: ReadOptions,
  onLink?: (path: readonly string[], target: Buffer) => void,
): Promise<FoundDirectory | undefined> {
  const nodes = [root]
  const names: string[] = []
  const todo = [...path].reverse()
  let links = 0
  for (let steps = 0; todo.length > 0; steps++) {
    const name = todo.pop() as string
    if (steps === maximumSteps) return undefined
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (names.pop() !== undefined) nodes.pop()
      continue
    }
    const node = await nodes.at(-1)?.find(name, options)
    if (node instanceof MergedDirectory) {
      nodes.push(node)
      names.push(name)
    } else if (node?.type === 'symlink' && ++links <= maximumLinks) {
      onLink?.([...names, name], node.linkName)
      const target = node.linkName.toString('latin1').split('/')
      if (target[0] === '') nodes.length = 1
      if (target[0] === '') names.length = 0
      todo.push(...target.reverse())
    } else return undefined
  }
  return { path: names, node: nodes.at(-1) as MergedDirectory }
}
