import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of registryfs's package.json, wherever the compiled files lie below it. */
export const packageRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const path = join(folder, 'package.json')
    if (
      existsSync(path) &&
      (JSON.parse(readFileSync(path, 'utf8')) as { name?: string }).name === 'registryfs'
    )
      return folder
    if (folder === dirname(folder)) throw new Error(`no package.json of registryfs above ${start}`)
  }
}
