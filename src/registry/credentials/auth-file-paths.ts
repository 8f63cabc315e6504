import { homedir } from 'node:os'
import { join } from 'node:path'

export interface AuthFilePath {
  readonly path: string
  /** ~/.dockercfg. */
  readonly isLegacy: boolean
  /** Named by the user: it must be there. */
  readonly isRequired: boolean
}

/** The files that may hold credentials, in podman's order (podman-login(1)); one that the user names is the only one. */
export function authFilePaths(
  authFile: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
  home: string = homedir(),
  uid: number = process.getuid?.() ?? 0,
): readonly AuthFilePath[] {
  const set = (name: string): string | undefined => {
    const value = environment[name]
    return value === '' ? undefined : value
  }
  const named = authFile ?? set('REGISTRY_AUTH_FILE')
  if (named !== undefined) return [{ path: named, isLegacy: false, isRequired: true }]
  const runtime = set('XDG_RUNTIME_DIR')
  const runtimeDirectory =
    runtime === undefined ? `/run/containers/${String(uid)}` : join(runtime, 'containers')
  const files = [
    join(runtimeDirectory, 'auth.json'),
    join(set('XDG_CONFIG_HOME') ?? join(home, '.config'), 'containers', 'auth.json'),
    join(set('DOCKER_CONFIG') ?? join(home, '.docker'), 'config.json'),
  ]
  return [
    ...files.map((path) => ({ path, isLegacy: false, isRequired: false })),
    { path: join(home, '.dockercfg'), isLegacy: true, isRequired: false },
  ]
}
