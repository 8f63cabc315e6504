import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { isObject } from '../registry/json-object.js'
import { RegistryFsError } from '../util/errors.js'

/** What decides, so that a test can say it. */
export interface StorageSurroundings {
  readonly isRoot: boolean
  readonly uid: number
  readonly home: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Of the system: `/etc/containers/storage.conf`, else what the distribution has. */
  readonly systemFiles: readonly string[]
}

const maxRoots = 16

export function storageSurroundings(): StorageSurroundings {
  const uid = process.getuid?.() ?? 0
  return {
    isRoot: uid === 0,
    uid,
    home: homedir(),
    env: process.env,
    systemFiles: ['/etc/containers/storage.conf', '/usr/share/containers/storage.conf'],
  }
}

/**
 * Where podman and skopeo keep images here, by containers-storage.conf(5): the store itself, then the additional image
 * stores, which are read only. CORRUPT for a file that is no TOML.
 */
export async function storageRoots(surroundings: StorageSurroundings): Promise<readonly string[]> {
  const { isRoot } = surroundings
  const { text, path } = await findConf(surroundings)
  const storage = storageTable(text, path)
  const options = isObject(storage['options']) ? storage['options'] : {}
  const more = options['additionalimagestores']
  const own = isRoot
    ? textOf(storage['graphroot'])
    : (textOf(storage['rootless_storage_path']) ??
      // What the system's file says is root's.
      (path !== undefined && surroundings.systemFiles.includes(path)
        ? undefined
        : textOf(storage['graphroot'])))
  const roots = [own ?? defaultRoot(surroundings), ...(Array.isArray(more) ? more.map(textOf) : [])]
  return roots
    .filter((root) => root !== undefined)
    .map((root) => expanded(root, surroundings))
    .filter((root) => root.startsWith('/'))
    .slice(0, maxRoots)
}

/** The first that is there counts alone, as it does for podman. */
async function findConf({ env, isRoot, home, systemFiles }: StorageSurroundings): Promise<{
  readonly text: string
  readonly path: string | undefined
}> {
  const configHome = env['XDG_CONFIG_HOME'] ?? join(home, '.config')
  const users = isRoot ? [] : [join(configHome, 'containers/storage.conf')]
  const named = env['CONTAINERS_STORAGE_CONF']
  for (const path of named === undefined || named === '' ? [...users, ...systemFiles] : [named]) {
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text !== undefined) return { text, path }
  }
  return { text: '', path: undefined }
}

function storageTable(text: string, path = ''): Readonly<Record<string, unknown>> {
  try {
    const { storage } = parse(text)
    return isObject(storage) ? storage : {}
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : ''
    throw new RegistryFsError('CORRUPT', `${path}: ${reason}`)
  }
}

function defaultRoot({ isRoot, env, home }: StorageSurroundings): string {
  if (isRoot) return '/var/lib/containers/storage'
  const dataHome = env['XDG_DATA_HOME']
  return join(
    dataHome?.startsWith('/') === true ? dataHome : join(home, '.local/share'),
    'containers/storage',
  )
}

function expanded(root: string, { home, uid, env }: StorageSurroundings): string {
  const values: Readonly<Record<string, string>> = { HOME: home, UID: String(uid), USER: env['USER'] ?? '' }
  return root.replace(/\$(HOME|UID|USER)\b/g, (_, name: string) => values[name] ?? '')
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
