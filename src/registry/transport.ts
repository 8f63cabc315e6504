/**
 * The way of a request. Everything that talks to a registry does it through a Transport; each policy is a decorator
 * around the one that owns the sockets:
 *
 *     redirect -> auth -> retry -> concurrency -> insecure-http -> loopback-https -> logging -> warnings -> undici
 *
 * so that a retry never asks for a new token by itself, a redirect starts over without Authorization, and what is
 * logged and counted is what went over the wire.
 */
export interface Transport {
  /**
   * Resolves when the headers are there, whatever the status. The body must be consumed or discarded. Throws
   * RegistryFsError: UNAVAILABLE, TIMEOUT, PROTOCOL (TLS, not HTTP), or what the signal stands for.
   */
  send(request: HttpRequest): Promise<HttpResponse>
}

export type RequestKind = 'manifest' | 'blob' | 'token' | 'list'

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly kind: RequestKind
  /** For errors and the log: `quay.io: GET manifests/latest of containerdisks/fedora`. */
  readonly what: string
  /** Undefined: none may be sent, as to another host after a redirect. */
  readonly authorization: AuthorizationScope | undefined
  /** Ends the request and its body. */
  readonly signal: AbortSignal
  /** Of a POST. */
  readonly body?: string
  /** Nobody waits for just this answer, as in a first pass: better late than never. */
  readonly isPatient?: boolean
  /** Of a mirror: how its own origin is reached. Means nothing at other origins, as after a redirect. */
  readonly connection?: ConnectionSettings
}

/** What a hosts.toml says about one of its hosts. */
export interface ConnectionSettings {
  /** Of the file and the host: sockets are shared by requests with the same. */
  readonly id: string
  readonly origin: string
  /** Names in lower case. May hold secrets. */
  readonly headers: Readonly<Record<string, string>>
  /** PEM files. */
  readonly caFiles: readonly string[]
  readonly clientCertificates: readonly ClientCertificateFiles[]
  readonly skipVerify: boolean
  readonly connectTimeoutMs: number | undefined
}

/** PEM files; without a key the certificate's file holds it too. */
export interface ClientCertificateFiles {
  readonly certificate: string
  readonly key: string | undefined
}

/** What the request needs to be allowed to do. */
export interface AuthorizationScope {
  /** The registry as the user writes it. */
  readonly host: string
  /** `repository:library/debian:pull`, if the challenge names none itself. */
  readonly scope: string
}

export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Where it came from in the end. */
  readonly url: URL
  readonly redirected: boolean
  readonly body: ResponseBody
}

export interface ResponseBody {
  /**
   * Hands each chunk to `sink` as it arrives; a chunk is a view that is only good during the call. A sink that
   * returns false stops the flow (back pressure reaches the socket) until the next consume. Throws UNAVAILABLE when
   * the connection breaks off, TIMEOUT when nothing comes for the stall time, and what the sink throws.
   */
  consume(sink: (chunk: Buffer) => boolean): Promise<'ended' | 'stopped'>

  /** Gives up the rest. Keeps the connection when little is left, else closes it. */
  discard(): void
}

/** The first value of a header (lower-case name). */
export function headerOf(response: HttpResponse, name: string): string | undefined {
  const value = response.headers[name]
  return typeof value === 'object' ? value[0] : value
}

/** All values of a header that may be repeated. */
export function headersOf(response: HttpResponse, name: string): readonly string[] {
  const value = response.headers[name]
  return value === undefined ? [] : typeof value === 'object' ? value : [value]
}
