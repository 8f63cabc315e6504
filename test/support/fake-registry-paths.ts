import type { FakeRequest } from './fake-registry-faults.js'

/** What a path asks a registry for. */
export function kindOf(path: string): FakeRequest['kind'] {
  if (path === '/v2/') return 'ping'
  if (path === '/token') return 'token'
  if (path === '/v2/_catalog' || /^\/v2\/.+\/tags\/list$/.test(path)) return 'list'
  if (/^\/v2\/.+\/manifests\/[^/]+$/.test(path)) return 'manifest'
  if (/^\/v2\/.+\/blobs\/[^/]+$/.test(path)) return 'blob'
  if (/^\/v2\/.+\/referrers\/[^/]+$/.test(path)) return 'referrers'
  return 'other'
}

/** What a token must be good for. */
export function scopeOf(path: string): string {
  const repository = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/[^/]+$/.exec(path)?.[1]
  return repository === undefined ? 'registry:catalog:*' : `repository:${repository}:pull`
}
