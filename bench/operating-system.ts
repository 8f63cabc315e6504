import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run, shell, type CommandOptions } from './command.js'

/** Of files; deflate makes some 400 MiB of it, more than the 350 MiB that a layer should have at least. */
const wantedBytes = 1.05 * 2 ** 30

/**
 * Fills an empty directory with a real operating system's files: a minimal Debian where debootstrap can make one, and
 * then as much of this machine's /usr as is missing. Resolves to a description.
 */
export async function fillWithOperatingSystem(directory: string, options: CommandOptions): Promise<string> {
  const suite = await debootstrap(directory, options)
  const before = await bytesBelow(directory, options)
  // In the order of their names, until it is enough.
  const copies = join(directory, 'usr-of-host')
  await mkdir(copies)
  await shell(
    `cd /usr && find . -xdev -type f -readable ! -name $'*\\n*' -printf '%s %p\\n' | LC_ALL=C sort -k 2 |
      awk -v left=${String(Math.round(wantedBytes - before))} 'left > 0 { left -= $1; sub(/^[0-9]+ /, ""); print }' |
      tar --no-recursion --hard-dereference -T - -cf - | tar -C '${copies}' -xf -`,
    options,
  )
  return suite === undefined ? 'files of /usr' : `debootstrap ${suite} and files of /usr`
}

/** Undefined where it cannot be done: not root, no mirror, another distribution. */
async function debootstrap(directory: string, options: CommandOptions): Promise<string | undefined> {
  const mirror = await findMirror()
  if (mirror === undefined || process.getuid?.() !== 0) return undefined
  const { suite, uri } = mirror
  try {
    await run(['debootstrap', '--variant=minbase', suite, directory, uri], { ...options, timeoutMs: 300_000 })
    return suite
  } catch (error) {
    if (options.signal?.aborted === true) throw error
    process.stderr.write(
      `# debootstrap failed, so /usr alone has to do: ${String(error).split('\n')[0] ?? ''}\n`,
    )
    for (const name of await readdir(directory))
      await rm(join(directory, name), { recursive: true, force: true })
    return undefined
  }
}

/** The first archive of this system's own release in apt's sources. */
async function findMirror(): Promise<{ readonly suite: string; readonly uri: string } | undefined> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const suite = /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1]
  if (suite === undefined) return undefined
  for (const text of await aptSources()) {
    const oneLine = /^deb\s+(?:\[[^\]]*\]\s+)?(http\S+)\s+(\S+)/gm
    for (const [, uri, name] of text.matchAll(oneLine)) {
      if (uri !== undefined && name === suite) return { suite, uri }
    }
    for (const stanza of text.split(/\n\s*\n/)) {
      const suites = /^Suites:\s*(.+)$/m.exec(stanza)?.[1]?.split(/\s+/) ?? []
      const uri = /^URIs:\s*(http\S+)/m.exec(stanza)?.[1]
      if (uri !== undefined && suites.includes(suite)) return { suite, uri }
    }
  }
  return undefined
}

async function aptSources(): Promise<readonly string[]> {
  const folder = '/etc/apt/sources.list.d'
  const names = await readdir(folder).catch(() => [])
  const files = ['/etc/apt/sources.list', ...names.sort().map((name) => join(folder, name))]
  return Promise.all(files.map(async (file) => readFile(file, 'utf8').catch(() => '')))
}

async function bytesBelow(directory: string, options: CommandOptions): Promise<number> {
  return Number((await run(['du', '-s', '--block-size=1', directory], options)).split('\t')[0])
}
