import type { Image, Images } from '../image/image.js'
import { ErrorLog } from './error-log.js'
import type { ListingSource } from './listings.js'
import { Namespace } from './namespace.js'
import { Pins } from './pins.js'
import { RootDirectory, type RootOptions } from './root.js'
import { AboutDirectory, StatusFile } from './status.js'
import type { TreeNode } from './node.js'

export interface TreeOptions extends RootOptions {
  readonly images: Images
  readonly registry: ListingSource
  /** The rest of status.json; the tree adds its own errors. */
  readonly status: () => Promise<object>
}

/**
 * The namespace of the mount:
 *
 *     RootDirectory  /                          aliases, hosts, the default registry, .registryfs
 *     HostDirectory  /quay.io                   any name that is spelled like a host
 *     RepositoryDirectory  /quay.io/a, /debian  an image's latest, else a namespace; found out only when it matters
 *     AliasDirectory  /fedora                   an image named at mount time
 *     Member  /quay.io/a/b:1, .../etc/passwd    an image's root and everything in it
 *     AboutDirectory, StatusFile  /.registryfs/status.json
 *
 * A lookup walks these objects; src/image and src/registry do what needs a request. Which names are images is decided by
 * spelling where it can be (component.ts), else by asking for `latest` once something below is wanted. Directories keep
 * their identity for as long as they mean the same thing; when a tag moves, the name leads to new objects, and the old
 * ones live on in the handles that hold them (Pins counts those, so that src/image leaves such a tag alone).
 */
export class Tree {
  readonly root: TreeNode
  readonly errors = new ErrorLog()
  readonly pins = new Pins()

  constructor(options: TreeOptions) {
    const status = async (): Promise<object> => ({
      ...(await options.status()),
      errors: this.errors.recent(),
    })
    const about = new AboutDirectory(new Map([['status.json', new StatusFile(status)]]))
    this.root = new RootDirectory(new Namespace(options.images, options.registry), about, options)
  }

  /** How many open files and directories there are in an image. */
  openCount(image: Image): number {
    return this.pins.openCount(image)
  }
}
