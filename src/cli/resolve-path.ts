import type { Image, ImageNode } from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import { parsePrintableName } from './output.js'

/** As many symlinks as the kernel follows (path_resolution(7)). */
const maximumLinks = 40

export function pathComponents(path: string): readonly string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** A component: of the path as somebody typed it, or of a symlink's target. */
type Step = string | Buffer

/** What is typed is what `ls` shows, or else the name itself. */
async function lookUp(parent: ImageNode, name: Step, options: ReadOptions): Promise<ImageNode | undefined> {
  const bytes = Buffer.from(name)
  const meant = typeof name === 'string' ? parsePrintableName(name) : bytes
  const found = await parent.lookup(meant, options)
  return found === undefined && !meant.equals(bytes) ? parent.lookup(bytes, options) : found
}

function targetSteps(target: Buffer): readonly Buffer[] {
  return pathComponents(target.toString('latin1')).map((part) => Buffer.from(part, 'latin1'))
}

/**
 * The node at PATH of an image, symlinks followed inside the image: an absolute target starts at the image's root,
 * and nothing leads out of it. NOT_FOUND and NOT_A_DIRECTORY name the part that is the trouble.
 */
export async function resolvePath(
  image: Image,
  path: string,
  options: ReadOptions & { readonly followLast?: boolean } = {},
): Promise<ImageNode> {
  const trail: ImageNode[] = [image.root]
  const left: Step[] = [...pathComponents(path)]
  let links = 0
  while (left.length > 0) {
    const name = left.shift() as Step
    const shown = name.toString()
    if (shown === '..') {
      if (trail.length > 1) trail.pop()
      continue
    }
    const parent = trail.at(-1) as ImageNode
    if (parent.attributes.type !== 'directory') {
      throw new RegistryFsError(
        'NOT_A_DIRECTORY',
        `${path}: what ${JSON.stringify(shown)} should be in is not a directory`,
        {
          image: formatReference(image.reference),
        },
      )
    }
    const node = await lookUp(parent, name, options)
    if (node === undefined) {
      throw new RegistryFsError('NOT_FOUND', `${path}: no ${JSON.stringify(shown)} in the image`, {
        image: formatReference(image.reference),
      })
    }
    if (node.attributes.type === 'symlink' && (left.length > 0 || options.followLast !== false)) {
      if (++links > maximumLinks) {
        throw new RegistryFsError(
          'NOT_FOUND',
          `${path} leads nowhere: symlinks in a circle, or too many of them`,
          { image: formatReference(image.reference) },
        )
      }
      if (node.linkName[0] === 0x2f) trail.length = 1
      left.unshift(...targetSteps(node.linkName))
      continue
    }
    trail.push(node)
  }
  return trail.at(-1) as ImageNode
}

/** The file at PATH. Throws IS_A_DIRECTORY, NOT_A_FILE, and what `resolvePath` throws. */
export async function resolveFile(image: Image, path: string, options: ReadOptions): Promise<ImageNode> {
  const node = await resolvePath(image, path, options)
  const { type } = node.attributes
  if (type === 'directory') throw new RegistryFsError('IS_A_DIRECTORY', `${path} is a directory`)
  if (type !== 'file') throw new RegistryFsError('NOT_A_FILE', `${path} is a ${type}, not a file`)
  return node
}
