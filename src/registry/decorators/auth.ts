import { LRUCache } from 'lru-cache'
import { describeError, hasCode, RegistryFsError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { SingleFlight } from '../../util/single-flight.js'
import { parseChallenges, type AuthChallenge } from '../auth-challenge.js'
import {
  basicAuthorization,
  isSameCredential,
  type Credential,
  type FoundCredential,
} from '../credentials/credential.js'
import type { Lifetime } from '../lifetime.js'
import { detached } from '../read-body.js'
import type { Repository } from '../reference.js'
import { statusError } from '../status-check.js'
import { fetchToken } from '../token-exchange.js'
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
  /** Whether `host` may be asked over plain http on behalf of the registry at `origin`. */
  readonly allowsPlainHttp: (host: string, origin: URL) => boolean
  /** What the user has for a registry; a path that is empty stands for the registry as a whole. */
  readonly findCredential: (
    repository: Repository,
    options: { readonly isFresh: boolean },
  ) => Promise<FoundCredential>
  /** A monotonic clock in ms. */
  readonly now?: () => number
  /** In [0, 1). */
  readonly random?: () => number
}

/** Of its life, after which a token is renewed while it still works: so that many mounts do not do so at once, from .. to. */
const renewFrom = 0.75
const renewTo = 0.85
const renewalPauseMs = 5_000
/** Basic credentials have no life of their own; files are looked at again after this. */
const basicLifetimeMs = 300_000
const maxTokens = 1000

/** Each is what one repository of one registry needs. */
interface Grant {
  /** The header. */
  readonly authorization: string
  /** Our own clock when it was asked for: the server's may be wrong. */
  readonly since: number
  readonly lifetimeMs: number
  /** The age from which on it is renewed. */
  readonly renewMs: number
  readonly challenge: AuthChallenge
  readonly found: FoundCredential
}

/**
 * Bearer tokens (distribution token spec) and Basic, with the user's credentials where there are any, else anonymously. A
 * grant belongs to one origin and scope and goes nowhere else. A token is renewed in the background at some 80 % of its
 * life; a refusal costs one new grant and one more try, two for bytes of a file: 401, or 400 and 403 while one is held, for
 * ECR says so when it has expired.
 */
export class AuthTransport implements Transport {
  readonly #inner: Transport
  readonly #options: AuthOptions
  readonly #now: () => number
  readonly #grants = new LRUCache<string, Grant>({ max: maxTokens })
  readonly #fetching = new SingleFlight<string, Grant | undefined>()
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
    let held = await this.#current(request, needed)
    let answer = await this.#inner.send(authorized(request, held))
    for (let left = replacementsFor(request); left > 0 && isRefusal(answer.status, held); left--) {
      // Its socket must be free again: the token server may be behind the same few, with each of them refused right now.
      answer = await detached(answer)
      const challenge = await this.#challengeOf(request, answer, held)
      const grant = challenge && (await this.#replace(request, needed, challenge, held))
      if (grant === undefined) return answer
      held = grant
      answer = await this.#inner.send(authorized(request, held))
    }
    const problem = held?.found.problem
    if (problem === undefined || answer.status !== 401) return answer
    throw explained(await statusError(answer, request), problem)
  }

  /** What to go with, if something is known to be needed. */
  async #current(request: HttpRequest, needed: AuthorizationScope): Promise<Grant | undefined> {
    const key = keyOf(request, needed)
    const held = this.#grants.get(key)
    if (held !== undefined) {
      const age = this.#now() - held.since
      if (age < held.renewMs) return held
      const renewal = this.#fetch(request, needed, held.challenge, undefined)
      if (age >= held.lifetimeMs) return renewal
      renewal.catch((error: unknown) => {
        this.#options.log.debug({ host: needed.host, error: describeError(error) }, 'token not renewed yet')
        const renewMs = this.#now() - held.since + renewalPauseMs
        if (this.#grants.get(key) === held) this.#grants.set(key, { ...held, renewMs })
      })
      return held
    }
    const challenge = this.#challenges.get(request.url.origin)
    if (challenge === undefined) return undefined
    try {
      return await this.#fetch(request, needed, withoutScope(challenge), undefined)
    } catch (error) {
      if (request.signal.aborted || hasCode(error, 'ABORTED')) throw error
      return undefined
    }
  }

  async #challengeOf(
    request: HttpRequest,
    response: HttpResponse,
    held: Grant | undefined,
  ): Promise<AuthChallenge | undefined> {
    const given = challengesOf(response)
    // Harbor asks for Basic once a token has expired: what worked before goes first.
    const known = find(given, 'bearer') ?? held?.challenge ?? find(given, 'basic')
    if (known !== undefined || response.status !== 401 || given.length > 0) return known
    // gcr.io: 401 without a challenge, which only /v2/ has.
    const ping = await this.#inner.send({ ...bare(request), url: new URL('/v2/', request.url) })
    ping.body.discard()
    const pinged = ping.status === 401 ? challengesOf(ping) : []
    return find(pinged, 'bearer') ?? find(pinged, 'basic')
  }

  /** Another grant than the refused one; somebody may have fetched it already. Undefined: there is none. */
  async #replace(
    request: HttpRequest,
    needed: AuthorizationScope,
    challenge: AuthChallenge,
    refused: Grant | undefined,
  ): Promise<Grant | undefined> {
    const key = keyOf(request, needed)
    const held = this.#grants.get(key)
    if (held !== undefined && held.authorization !== refused?.authorization) return held
    this.#grants.delete(key)
    this.#challenges.set(request.url.origin, challenge)
    return this.#fetch(request, needed, challenge, refused)
  }

  /** Throws what the token server says; undefined: Basic, and nothing to say that was not refused already. */
  async #fetch(
    request: HttpRequest,
    needed: AuthorizationScope,
    challenge: AuthChallenge,
    refused: Grant | undefined,
  ): Promise<Grant | undefined> {
    const key = keyOf(request, needed)
    const fetch = async (): Promise<Grant | undefined> => {
      const grant =
        challenge.scheme === 'basic'
          ? await this.#basic(request, needed, challenge, refused)
          : await this.#bearer(request, needed, challenge, refused)
      if (grant !== undefined) this.#grants.set(key, grant)
      return grant
    }
    // Who waits has another budget than who does not.
    const flight = `${key} ${request.isPatient === true ? 'patient' : ''}`
    return this.#fetching.run(flight, fetch, { signal: request.signal })
  }

  async #basic(
    request: HttpRequest,
    needed: AuthorizationScope,
    challenge: AuthChallenge,
    refused: Grant | undefined,
  ): Promise<Grant | undefined> {
    const since = this.#now()
    const found = await this.#options.findCredential(repositoryOf(needed), { isFresh: refused !== undefined })
    const { credential, problem } = found
    if (credential === undefined) {
      if (problem === undefined) return undefined
      throw new RegistryFsError('UNAUTHORIZED', `${request.what}: 401 (credentials: ${problem})`)
    }
    const { url } = request
    if (url.protocol !== 'https:' && !this.#options.allowsPlainHttp(url.host, url)) return undefined
    const authorization = basicAuthorization(credential)
    if (authorization === refused?.authorization) return undefined
    return { authorization, since, lifetimeMs: basicLifetimeMs, renewMs: basicLifetimeMs, challenge, found }
  }

  async #bearer(
    request: HttpRequest,
    needed: AuthorizationScope,
    challenge: AuthChallenge,
    refused: Grant | undefined,
  ): Promise<Grant> {
    const { lifetime, deadlineMs, findCredential, random = Math.random } = this.#options
    const repository = repositoryOf(needed)
    const what = `${needed.host}: GET token for ${needed.scope}`
    return lifetime.run(deadlineMs, what, undefined, async (signal) => {
      let found = await findCredential(repository, { isFresh: refused !== undefined })
      const since = this.#now()
      const fetch = async (credential: Credential | undefined): ReturnType<typeof fetchToken> =>
        fetchToken({
          transport: this.#inner,
          challenge,
          scope: needed.scope,
          credential,
          allowsPlainHttp: (host) => this.#options.allowsPlainHttp(host, request.url),
          request: { ...bare(request), what, signal },
        })
      const token = await fetch(found.credential).catch(async (error: unknown) => {
        if (!hasCode(error, 'UNAUTHORIZED', 'DENIED')) throw error
        if (found.credential !== undefined) {
          const fresh = await findCredential(repository, { isFresh: true })
          if (!isSameCredential(fresh.credential, found.credential)) {
            found = fresh
            return fetch(fresh.credential)
          }
        }
        throw found.problem === undefined ? error : explained(error as RegistryFsError, found.problem)
      })
      const renewMs = token.lifetimeMs * (renewFrom + (renewTo - renewFrom) * random())
      const { lifetimeMs } = token
      return { authorization: `Bearer ${token.value}`, since, lifetimeMs, renewMs, challenge, found }
    })
  }
}

/** The other readers' new token may have expired as well by the time that one of them comes with it. */
function replacementsFor({ kind }: HttpRequest): number {
  return kind === 'blob' ? 2 : 1
}

function isRefusal(status: number, held: Grant | undefined): boolean {
  return status === 401 || (held !== undefined && (status === 400 || status === 403))
}

function explained(error: RegistryFsError, problem: string): RegistryFsError {
  return new RegistryFsError(error.code, `${error.message} (credentials: ${problem})`, { cause: error })
}

function challengesOf(response: HttpResponse): readonly AuthChallenge[] {
  return parseChallenges(headersOf(response, 'www-authenticate'))
}

function find(challenges: readonly AuthChallenge[], scheme: string): AuthChallenge | undefined {
  return challenges.find((challenge) => challenge.scheme === scheme)
}

function withoutScope(challenge: AuthChallenge): AuthChallenge {
  return { ...challenge, parameters: new Map([...challenge.parameters].filter(([name]) => name !== 'scope')) }
}

function keyOf(request: HttpRequest, needed: AuthorizationScope): string {
  return `${request.url.origin} ${needed.scope}`
}

/** Whose credentials: `repository:a/b:pull` is about a/b, other scopes are about the registry as a whole. */
function repositoryOf({ host, scope }: AuthorizationScope): Repository {
  return { host, path: /^repository:([^:]*):/.exec(scope)?.[1] ?? '' }
}

function authorized(request: HttpRequest, grant: Grant | undefined): HttpRequest {
  if (grant === undefined) return request
  return { ...request, headers: { ...request.headers, authorization: grant.authorization } }
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
