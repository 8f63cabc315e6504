import type { Repository } from '../reference.js'

/** Docker Hub has had several names; credential files know it by this one. */
const dockerHub = 'index.docker.io'
const dockerHubNames: ReadonlySet<string> = new Set([dockerHub, 'docker.io', 'registry-1.docker.io'])

/**
 * The keys under which the files may have credentials for a repository, the most specific first (containers-auth.json(5)):
 * `host/ns/repo`, `host/ns`, `host`.
 */
export function keysOf(repository: Repository): readonly string[] {
  const host = normalHost(repository.host)
  const parts = repository.path === '' ? [] : repository.path.split('/')
  return [...parts.map((_, index) => [host, ...parts.slice(0, parts.length - index)].join('/')), host]
}

/** A key as a file has it, such as `https://index.docker.io/v1/`, in the form that `keysOf` gives. */
export function normalKey(key: string): string {
  const withoutScheme = key.replace(/^https?:\/\//i, '')
  // Docker's keys are URLs of API versions; only keys without a scheme may name namespaces.
  const name = withoutScheme === key ? key.replace(/\/+$/, '') : withoutScheme.replace(/\/.*$/s, '')
  const slash = name.indexOf('/')
  return slash < 0 ? normalHost(name) : `${normalHost(name.slice(0, slash))}${name.slice(slash)}`
}

/** What helper programs know a registry by. */
export function helperServer(host: string): string {
  return normalHost(host) === dockerHub ? `https://${dockerHub}/v1/` : host
}

function normalHost(host: string): string {
  const lower = host.toLowerCase()
  return dockerHubNames.has(lower) ? dockerHub : lower
}
