import { realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseLocalReference } from '../registry/local-reference.js'
import { parseReference, type Reference } from '../registry/reference.js'
import { aboutName } from '../tree/about-name.js'
import { RegistryFsError } from '../util/errors.js'

/** One component of a path, and nothing that a shell or mount(8) would trip over. */
const aliasPattern = /^[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}$/

/** A daemon that reads its own mount waits for itself. Throws INVALID. */
export async function refuseOwnMount(
  aliases: ReadonlyMap<string, Reference>,
  mountPoint: string,
): Promise<void> {
  const real = async (path: string): Promise<string> => realpath(path).catch(() => resolve(path))
  const mount = await real(mountPoint)
  for (const [alias, { transport, path }] of aliases) {
    if (transport === undefined || path === '') continue
    if (!`${await real(path)}/`.startsWith(`${mount}/`)) continue
    throw new RegistryFsError('INVALID', `${alias}: ${path} is inside the mount point`)
  }
}

/** `[ALIAS=]REFERENCE` each; without an alias an image is shown by the last component of its repository. Throws INVALID. */
export function parseAliases(words: readonly string[], defaultHost: string): ReadonlyMap<string, Reference> {
  const aliases = new Map<string, Reference>()
  for (const word of words) {
    const equals = word.indexOf('=')
    const text = word.slice(equals + 1)
    const reference = parseLocalReference(text) ?? parseReference(text, { defaultHost })
    if (equals < 0 && reference.transport !== undefined)
      throw new RegistryFsError('INVALID', `a local image needs a name: ALIAS=${text}`)
    const alias = equals < 0 ? (reference.path.split('/').at(-1) ?? '') : word.slice(0, equals)
    if (!aliasPattern.test(alias) || alias === aboutName) {
      throw new RegistryFsError('INVALID', `${JSON.stringify(alias)} cannot be an alias`)
    }
    if (aliases.has(alias)) {
      throw new RegistryFsError('INVALID', `two images would be called ${alias}: name one OTHER=REFERENCE`)
    }
    aliases.set(alias, reference)
  }
  return aliases
}
