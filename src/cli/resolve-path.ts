import type { Image, ImageNode } from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'

/** As many symlinks as the kernel follows (path_resolution(7)). */
const maximumLinks = 40

export function pathComponents(path: string): readonly string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
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
  const left = [...pathComponents(path)]
  let links = 0
  while (left.length > 0) {
    const name = left.shift() as string
    if (name === '..') {
      if (trail.length > 1) trail.pop()
      continue
    }
    const parent = trail.at(-1) as ImageNode
    if (parent.attributes.type !== 'directory') {
      throw new RegistryFsError(
        'NOT_A_DIRECTORY',
        `${path}: what ${JSON.stringify(name)} should be in is not a directory`,
        {
          image: formatReference(image.reference),
        },
      )
    }
    const node = await parent.lookup(Buffer.from(name), options)
    if (node === undefined) {
      throw new RegistryFsError('NOT_FOUND', `${path}: no ${JSON.stringify(name)} in the image`, {
        image: formatReference(image.reference),
      })
    }
    if (node.attributes.type === 'symlink' && (left.length > 0 || options.followLast !== false)) {
      if (++links > maximumLinks) throw new RegistryFsError('LIMIT', `${path}: too many symlinks`)
      const target = node.linkName.toString()
      if (target.startsWith('/')) trail.length = 1
      left.unshift(...pathComponents(target))
      continue
    }
    trail.push(node)
  }
  return trail.at(-1) as ImageNode
}
