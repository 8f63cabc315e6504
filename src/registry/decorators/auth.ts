import { LRUCache } from 'lru-cache'
import { describeError, hasCode } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { SingleFlight } from '../../util/single-flight.js'
import { parseChallenges, type AuthChallenge } from '../auth-challenge.js'
import { parseToken, tokenUrl, type BearerToken } from '../bearer-token.js'
import type { Lifetime } from '../lifetime.js'
import { readBody } from '../read-body.js'
import { checkStatus } from '../status-check.js'
import {
  headersOf,
  type AuthorizationScope,
  type HttpRequest,
  type HttpResponse,
  type Transport,
} from '../transport.js'

export interface AuthOptions {
  readonly lifetime: Lifetime
  readonly log: Logger
  /** For one token, with retries. */
  readonly deadlineMs: number
  /** Whether `realmHost` may be asked for a token over plain http on behalf of the registry at `origin`. */
  readonly allowsPlainHttp: (realmHost: string, origin: URL) => boolean
  /** A monotonic clock in ms. */
  readonly now?: () => number
}

const tokenBytes = 1024 * 1024
/** Of its life, after which a token is renewed while it still works. */
const renewAt = 0.8
const maxTokens = 1000

/** Each is what one repository of one registry needs. */
interface HeldToken extends BearerToken {
  /** Our own clock when it was asked for: the server's may be wrong. */
  readonly since: number
  readonly challenge: AuthChallenge
}

/**
 * Bearer tokens (distribution token spec), fetched anonymously. A token belongs to one origin and scope and goes
 * nowhere else. It is renewed in the background at 80 % of its life; a refusal costs one new token and one more try:
 * 401, or 400 and 403 while a token is held, for ECR says so when one has expired.
 */
export class AuthTransport implements Transport {
  readonly #inner: Transport
  readonly #options: AuthOptions
  readonly #now: () => number
  readonly #tokens = new LRUCache<string, HeldToken>({ max: maxTokens })
  readonly #fetching = new SingleFlight<string, HeldToken>()
  /** By origin: what its last challenge said, to spare the 401 for its other repositories. */
  readonly #challenges = new LRUCache<string, AuthChallenge>({ max: maxTokens })

  constructor(inner: Transport, options: AuthOptions) {
    this.#inner = inner
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const needed = request.authorization
    if (needed === undefined) return this.#inner.send(request)
    const held = await this.#current(request, needed)
    const response = await this.#inner.send(authorized(request, held))
    if (!isRefusal(response.status, held)) return response
    const challenge = await this.#challengeOf(request, response, held)
    if (challenge === undefined) return response
    response.body.discard()
    const token = await this.#replace(request, needed, challenge, held)
    return this.#inner.send(authorized(request, token))
  }

  /** The token to go with, if one is known to be needed. */
  async #current(request: HttpRequest, needed: AuthorizationScope): Promise<HeldToken | undefined> {
    const held = this.#tokens.get(keyOf(request, needed))
    if (held !== undefined) {
      const age = this.#now() - held.since
      if (age < held.lifetimeMs * renewAt) return held
      const renewal = this.#fetch(request, needed, held.challenge)
      if (age >= held.lifetimeMs) return renewal
      renewal.catch((error: unknown) => {
        this.#options.log.debug({ host: needed.host, error: describeError(error) }, 'token not renewed yet')
      })
      return held
    }
    const challenge = this.#challenges.get(request.url.origin)
    if (challenge === undefined) return undefined
    try {
      return await this.#fetch(request, needed, withoutScope(challenge))
    } catch (error) {
      if (request.signal.aborted || hasCode(error, 'ABORTED')) throw error
      return undefined
    }
  }

  async #challengeOf(
    request: HttpRequest,
    response: HttpResponse,
    held: HeldToken | undefined,
  ): Promise<AuthChallenge | undefined> {
    const given = bearerOf(response)
    const known = given ?? held?.challenge
    if (known !== undefined || response.status !== 401 || headersOf(response, 'www-authenticate').length > 0)
      return known
    // gcr.io: 401 without a challenge, which only /v2/ has.
    const ping = await this.#inner.send({ ...bare(request), url: new URL('/v2/', request.url) })
    ping.body.discard()
    return ping.status === 401 ? bearerOf(ping) : undefined
  }

  /** Another token than the refused one; somebody may have fetched it already. */
  async #replace(
    request: HttpRequest,
    needed: AuthorizationScope,
    challenge: AuthChallenge,
    refused: HeldToken | undefined,
  ): Promise<HeldToken> {
    const key = keyOf(request, needed)
    const held = this.#tokens.get(key)
    if (held !== undefined && held !== refused) return held
    this.#tokens.delete(key)
    this.#challenges.set(request.url.origin, challenge)
    return this.#fetch(request, needed, challenge)
  }

  async #fetch(
    request: HttpRequest,
    needed: AuthorizationScope,
    challenge: AuthChallenge,
  ): Promise<HeldToken> {
    const key = keyOf(request, needed)
    const { lifetime, deadlineMs, allowsPlainHttp } = this.#options
    const what = `${needed.host}: GET token for ${needed.scope}`
    const fetchOnce = async (): Promise<HeldToken> => {
      const url = tokenUrl(challenge, needed.scope, (host) => allowsPlainHttp(host, request.url), what)
      const since = this.#now()
      const token = await lifetime.run(deadlineMs, what, undefined, async (signal) => {
        const tokenRequest: HttpRequest = { ...bare(request), url, what, signal }
        const response = await checkStatus(await this.#inner.send(tokenRequest), tokenRequest, [200])
        return parseToken(await readBody(response, tokenBytes, what), what)
      })
      const held: HeldToken = { ...token, since, challenge }
      this.#tokens.set(key, held)
      return held
    }
    return this.#fetching.run(key, fetchOnce, { signal: request.signal })
  }
}

function isRefusal(status: number, held: HeldToken | undefined): boolean {
  return status === 401 || (held !== undefined && (status === 400 || status === 403))
}

function bearerOf(response: HttpResponse): AuthChallenge | undefined {
  return parseChallenges(headersOf(response, 'www-authenticate')).find(({ scheme }) => scheme === 'bearer')
}

function withoutScope(challenge: AuthChallenge): AuthChallenge {
  return { ...challenge, parameters: new Map([...challenge.parameters].filter(([name]) => name !== 'scope')) }
}

function keyOf(request: HttpRequest, needed: AuthorizationScope): string {
  return `${request.url.origin} ${needed.scope}`
}

function authorized(request: HttpRequest, token: HeldToken | undefined): HttpRequest {
  if (token === undefined) return request
  return { ...request, headers: { ...request.headers, authorization: `Bearer ${token.value}` } }
}

function bare(request: HttpRequest): HttpRequest {
  return {
    ...request,
    method: 'GET',
    headers: { accept: 'application/json' },
    kind: 'token',
    authorization: undefined,
  }
}
