import type { Facts, TreeNode } from '../tree/node.js'
import type { Tree } from '../tree/tree.js'
import { throwIfAborted, type ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'

export const factPrefix = 'user.registryfs.'

/** As listxattr(2) shows them: none where the kernel would refuse them, which lets user.* be of files and directories only (xattr(7)). */
export async function factNames(
  tree: Tree,
  node: TreeNode,
  options: ReadOptions,
): Promise<readonly string[]> {
  if (node.type !== 'file' && node.type !== 'directory') return []
  return [...(await explainNode(tree, node, options)).keys()].map((name) => factPrefix + name)
}

/** What a node says about itself, and its last error; also when it can say no more because of that error. */
export async function explainNode(tree: Tree, node: TreeNode, options: ReadOptions): Promise<Facts> {
  const facts = new Map<string, string>()
  try {
    for (const [name, value] of await node.explain(options)) facts.set(name, value)
  } catch (error) {
    throwIfAborted(options.signal)
    if (!(error instanceof RegistryFsError)) throw error
    tree.errors.record(node, 'explain', error)
  }
  // A directory is opened as what its name leads to, and so its errors are that one's.
  const resolved = await node.resolve(options).catch(() => node)
  const [last] = [tree.errors.of(node), tree.errors.of(resolved)]
    .filter((error) => error !== undefined)
    .sort((a, b) => b.time.localeCompare(a.time))
  if (last !== undefined) facts.set('error', `${last.time} ${last.operation}: ${last.code}: ${last.message}`)
  return facts
}
