import { BlockList, isIP } from 'node:net'
import { RegistryFsError } from '../util/errors.js'
import { isLoopback } from './insecure-hosts.js'

export interface Proxy {
  /** Without credentials. */
  readonly url: URL
  /** For Proxy-Authorization. */
  readonly authorization: string | undefined
}

/**
 * Which proxy an origin is reached through: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in lower case too (which wins, as with
 * curl). This machine itself is never asked for through a proxy, whatever NO_PROXY says: so Go does it, and docker, podman
 * and containerd with it; curl would.
 */
export class ProxyRules {
  readonly #https: Proxy | undefined
  readonly #http: Proxy | undefined
  readonly #exceptions: readonly ((host: string, port: string) => boolean)[]

  /** Throws INVALID, without the value: it may hold a password. */
  constructor(environment: NodeJS.ProcessEnv = process.env) {
    const read = (name: string): string => environment[name.toLowerCase()] ?? environment[name] ?? ''
    this.#https = parseProxy('HTTPS_PROXY', read('HTTPS_PROXY'))
    // CGI turns a request's Proxy header into HTTP_PROXY (CVE-2016-5385).
    const isCgi = environment['REQUEST_METHOD'] !== undefined
    this.#http = parseProxy('HTTP_PROXY', isCgi ? (environment['http_proxy'] ?? '') : read('HTTP_PROXY'))
    this.#exceptions = read('NO_PROXY')
      .split(/[\s,]+/)
      .filter((entry) => entry !== '')
      .map(parseException)
  }

  find(url: URL): Proxy | undefined {
    const proxy = url.protocol === 'https:' ? this.#https : this.#http
    if (proxy === undefined || isLoopback(url.host)) return undefined
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
    return this.#exceptions.some((matches) => matches(host, port)) ? undefined : proxy
  }
}

function parseProxy(name: string, value: string): Proxy | undefined {
  const text = value.trim()
  if (text === '') return undefined
  const whole = text.includes('://') ? text : `http://${text}`
  if (!URL.canParse(whole)) throw new RegistryFsError('INVALID', `${name} is not a URL`)
  const url = new URL(whole)
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '')
    throw new RegistryFsError('INVALID', `${name}: only http and https proxies are supported`)
  const { username, password } = url
  const login = `${decode(username)}:${decode(password)}`
  url.username = ''
  url.password = ''
  return {
    url: new URL(url.origin),
    authorization:
      username === '' && password === '' ? undefined : `Basic ${Buffer.from(login).toString('base64')}`,
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** `*`, `example.com` and `.example.com` (with all below), `host:port`, an address, or addresses as `10.0.0.0/8`. */
function parseException(entry: string): (host: string, port: string) => boolean {
  if (entry === '*') return () => true
  const range = /^\[?([0-9a-fA-F.:]+)\]?\/(\d{1,3})$/.exec(entry)
  const address = range?.[1] ?? ''
  if (isIP(address) !== 0 && Number(range?.[2]) <= (isIP(address) === 4 ? 32 : 128)) {
    const list = new BlockList()
    list.addSubnet(address, Number(range?.[2]), isIP(address) === 4 ? 'ipv4' : 'ipv6')
    return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6')
  }
  const match = /^(?:\[([^\]]*)\]|([^:]*)|(.*:.*:.*))(?::(\d+))?$/.exec(entry)
  const port = match?.[4]
  const name = (match?.[1] ?? match?.[2] ?? match?.[3] ?? entry)
    .toLowerCase()
    .replace(/^\*?\./, '')
    .replace(/\.$/, '')
  return (host, hostPort) =>
    (port === undefined || port === hostPort) &&
    name !== '' &&
    (host === name || (isIP(name) === 0 && host.endsWith(`.${name}`)))
}
