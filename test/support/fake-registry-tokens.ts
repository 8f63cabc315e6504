import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FakeAuth } from './fake-registry-faults.js'

/** The tokens that a FakeRegistry has given out. */
export class FakeTokens {
  readonly #issued = new Map<string, { at: number; scopes: readonly string[] }>()
  readonly #auth: FakeAuth

  constructor(auth: FakeAuth) {
    this.#auth = auth
  }

  get values(): readonly string[] {
    return [...this.#issued.keys()]
  }

  /** What the token server says. */
  async answer(request: IncomingMessage, query: URLSearchParams): Promise<[number, string]> {
    const { postStatus, identityToken, users } = this.#auth
    if (request.method === 'POST') {
      if (postStatus !== undefined) return [postStatus, '']
      const form = await formOf(request)
      const isKnown =
        form.get('refresh_token') === identityToken && form.get('grant_type') === 'refresh_token'
      return isKnown ? [200, this.issue(form)] : [401, '']
    }
    const isKnown = users === undefined || this.#isUser(request.headers.authorization)
    return isKnown ? [200, this.issue(query)] : [401, '']
  }

  issue(query: URLSearchParams): string {
    const scopes = query.getAll('scope').flatMap((scope) => scope.split(' '))
    const { grantsLess, firstScopeOnly } = this.#auth
    const granted = grantsLess === true ? [] : firstScopeOnly === true ? scopes.slice(0, 1) : scopes
    const token = `secret-token-${randomBytes(8).toString('hex')}`
    this.#issued.set(token, { at: performance.now(), scopes: granted })
    const { field = 'token', expiresIn, ttlMs = 300_000 } = this.#auth
    const life = expiresIn === 'missing' ? {} : { expires_in: expiresIn ?? ttlMs / 1000 }
    return JSON.stringify({ [field]: token, ...life })
  }

  /** From now on every token is refused. */
  expireAll(): void {
    for (const token of this.#issued.values()) token.at = -Infinity
  }

  #isUser(authorization: string | undefined): boolean {
    const [name = '', password] = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64')
      .toString('utf8')
      .split(/:(.*)/s)
    return password !== undefined && this.#auth.users?.get(name) === password
  }

  accepts(authorization: string | undefined, scope: string): boolean {
    if (this.#auth.scheme === 'basic') return this.#isUser(authorization)
    const issued = this.#issued.get(authorization?.replace(/^Bearer /, '') ?? '')
    if (issued === undefined || this.#auth.denied === true) return false
    return performance.now() - issued.at < (this.#auth.ttlMs ?? 300_000) && issued.scopes.includes(scope)
  }

  challenge(realm: string, scope: string | undefined, hadToken: boolean): string | undefined {
    if (this.#auth.scheme === 'basic') return 'Basic realm="fake, registry"'
    if (this.#auth.basicOnceExpired === true && hadToken) return 'Basic realm="harbor"'
    const bearer = `Bearer realm="${this.#auth.realm ?? realm}",service="fake, registry"`
    const scoped = scope === undefined ? bearer : `${bearer},scope="${scope}"`
    switch (this.#auth.challenge) {
      case 'missing':
        return undefined
      case 'without-scope':
        return bearer
      case 'many-scopes':
        return `${bearer},scope="repository:somebody/else:pull ${scope ?? ''}"`
      case 'several':
        return `Negotiate YWJj==, Basic realm="a, \\"b\\"", ${scoped}, error="invalid_token"`
      default:
        return scoped
    }
  }
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}
