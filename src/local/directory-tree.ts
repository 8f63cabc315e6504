import { hasCode } from '../util/errors.js'
import type { FileRange, FileTree } from './file-tree.js'
import { identityOf, LocalFile } from './local-file.js'
import type { OpenHandles } from './open-handles.js'
import { SafeDirectory } from './safe-directory.js'

export class DirectoryTree implements FileTree {
  readonly path: string
  readonly #handles: OpenHandles
  readonly #root: SafeDirectory

  constructor(handles: OpenHandles, path: string) {
    this.path = path
    this.#handles = handles
    this.#root = SafeDirectory.root(handles, path)
  }

  async find(name: string): Promise<FileRange | undefined> {
    const parts = name.split('/')
    const last = parts.pop() ?? ''
    const directory = parts.length === 0 ? this.#root : this.#root.descendant(parts.join('/'))
    const status = await directory.statOf(last).catch((error: unknown) => {
      if (hasCode(error, 'NOT_FOUND') && directory !== this.#root) return undefined
      throw error
    })
    if (status === undefined) return undefined
    const path = `${this.path}/${name}`
    const file = new LocalFile(path, this.#handles, async () => directory.openFile(last), identityOf(status))
    return { file, offset: 0, size: Number(status.size) }
  }
}
