import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { RegistryFsError } from '../../util/errors.js'
import { parseRegistriesConf, type RegistryRule } from './registries-conf.js'
import { readTomlFile } from './toml-file.js'

/**
 * What podman reads: $CONTAINERS_REGISTRIES_CONF, else the user's file, else the system's; then the files of both
 * registries.conf.d, by name, each of which replaces what had the same prefix. A file that is named explicitly counts
 * alone, with FILE.d if there is one. Throws INVALID.
 */
export function loadRegistriesConf(
  named: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): readonly RegistryRule[] {
  const explicit = named ?? nonEmpty(environment['CONTAINERS_REGISTRIES_CONF'])
  const user = join(environment['HOME'] ?? homedir(), '.config/containers/registries.conf')
  const system = '/etc/containers/registries.conf'
  const rules = new Map<string, RegistryRule>()
  const load = (path: string): boolean => {
    const document = readTomlFile(path)
    if (document === undefined) return false
    for (const rule of parseRegistriesConf(document)) rules.set(rule.prefix, rule)
    return true
  }
  if (explicit !== undefined) {
    if (!load(explicit)) throw new RegistryFsError('INVALID', `${explicit}: there is no such file`)
    for (const path of dropIns(`${explicit}.d`)) load(path)
  } else {
    if (!load(user)) load(system)
    for (const path of [...dropIns(`${system}.d`), ...dropIns(`${user}.d`)]) load(path)
  }
  return [...rules.values()]
}

function dropIns(directory: string): readonly string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.conf'))
    return names.sort().map((name) => join(directory, name))
  } catch {
    return []
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
