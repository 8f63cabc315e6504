import type { Images } from '../../src/image/image.js'
import type { Reference } from '../../src/registry/reference.js'
import { Tree } from '../../src/tree/tree.js'
import { MemoryImages } from './memory-images.js'

/** A tree of these images in which one alias leads to one of them. */
export function aliasTree(images: Images, alias: string, reference: Reference): Tree {
  return new Tree({
    images,
    registry: new MemoryImages(),
    status: async () => Promise.resolve({}),
    defaultHost: 'docker.io',
    configuredHosts: [],
    aliases: new Map([[alias, reference]]),
  })
}
