import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run, type CommandOptions } from './command.js'
import { makeLayer, type Layer } from './layer.js'

const tarBytesAtMost = 2 ** 30

/** What layers of containers hold: /usr of this machine, the first GiB of its files by name. Made once, in a minute. */
export async function makeUsr(work: string, options: CommandOptions): Promise<Layer> {
  const directory = join(work, 'usr')
  const made = await readFile(join(directory, 'usr.json'), 'utf8').catch(() => undefined)
  if (made !== undefined) return JSON.parse(made) as Layer
  process.stderr.write('# making a layer of /usr, once\n')
  await mkdir(directory, { recursive: true })
  const found = await run(['find', 'usr', '-xdev', '-type', 'f', '-printf', '%s %p\\0'], {
    ...options,
    cwd: '/',
  })
  const files = found
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => ({ bytes: parseInt(line, 10), name: line.slice(line.indexOf(' ') + 1) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  let bytes = 0
  const taken = files.filter((file) => (bytes += file.bytes + 1024) < tarBytesAtMost)
  const list = join(directory, 'files')
  await writeFile(list, taken.map(({ name }) => `${name}\0`).join(''))
  const tar = ['tar', '--format=gnu', '--no-recursion', '--null', '-T', list, '-cf', '-']
  const layer = await makeLayer(join(directory, 'usr.tar.gz'), tar, { ...options, cwd: '/' })
  await writeFile(join(directory, 'usr.json.new'), JSON.stringify(layer))
  await rename(join(directory, 'usr.json.new'), join(directory, 'usr.json'))
  return layer
}
