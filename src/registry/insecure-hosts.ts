/** Which hosts the user, or their being this machine, frees from TLS. Hosts are `name[:port]` as in a URL. */
export class InsecureHosts {
  readonly #configured: ReadonlySet<string>

  constructor(hosts: readonly string[]) {
    this.#configured = new Set(hosts.map((host) => host.toLowerCase().replace(/:443$/, '')))
  }

  /** Named by the user: certificates are not verified, and plain http is tried when https does not answer. */
  isConfigured(host: string): boolean {
    return this.#configured.has(host.toLowerCase())
  }

  /** As Docker does it, loopback addresses are spoken to in plain http, unless configured otherwise. */
  schemeOf(host: string): 'http' | 'https' {
    return isLoopback(host) && !this.isConfigured(host) ? 'http' : 'https'
  }

  /**
   * Whether `host` may be given a request in plain http on behalf of a registry at `origin`. A registry elsewhere
   * must not send us to services of this machine. A mirror that is configured as plain http may have its token server
   * beside it.
   */
  allowsPlainHttp(host: string, origin: URL): boolean {
    if (origin.protocol === 'http:' && host === origin.host) return true
    return this.isConfigured(host) || (isLoopback(host) && isLoopback(origin.host))
  }
}

/** 127.0.0.0/8, ::1, localhost; with or without a port. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host)
}
