import { randomBytes } from 'node:crypto'
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

  issue(query: URLSearchParams): string {
    const token = `secret-token-${randomBytes(8).toString('hex')}`
    this.#issued.set(token, { at: performance.now(), scopes: query.getAll('scope') })
    const { field = 'token', expiresIn, ttlMs = 300_000 } = this.#auth
    const life = expiresIn === 'missing' ? {} : { expires_in: expiresIn ?? ttlMs / 1000 }
    return JSON.stringify({ [field]: token, ...life })
  }

  /** From now on every token is refused. */
  expireAll(): void {
    for (const token of this.#issued.values()) token.at = -Infinity
  }

  accepts(authorization: string | undefined, scope: string): boolean {
    const issued = this.#issued.get(authorization?.replace(/^Bearer /, '') ?? '')
    if (issued === undefined || this.#auth.denied === true) return false
    return performance.now() - issued.at < (this.#auth.ttlMs ?? 300_000) && issued.scopes.includes(scope)
  }

  challenge(realm: string, scope: string | undefined): string | undefined {
    const bearer = `Bearer realm="${this.#auth.realm ?? realm}",service="fake, registry"`
    const scoped = scope === undefined ? bearer : `${bearer},scope="${scope}"`
    switch (this.#auth.challenge) {
      case 'missing':
        return undefined
      case 'without-scope':
        return bearer
      case 'several':
        return `Negotiate YWJj==, Basic realm="a, \\"b\\"", ${scoped}, error="invalid_token"`
      default:
        return scoped
    }
  }
}
