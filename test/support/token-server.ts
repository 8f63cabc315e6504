import { createHash, createPublicKey, createSign, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { TestContext } from 'node:test'
import type { Certificate } from './certificates.js'
import { listen } from './listen.js'

export interface TokenServer {
  /** For a registry's `auth: token: realm`. */
  readonly realm: string
  /** How many it has given out. */
  readonly issued: number
}

export const tokenService = 'registry.test'
export const tokenIssuer = 'test issuer'

/** Gives everybody tokens to pull and push with, as distribution's token spec says: ES256, good for so long. */
export async function tokenServer(
  test: TestContext,
  signer: Certificate,
  lifetimeSeconds: number,
): Promise<TokenServer> {
  const key = await readFile(signer.key)
  const keyId = libtrustKeyId(key)
  const state = { realm: '', issued: 0 }
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://token')
    const now = Math.floor(Date.now() / 1000)
    const access = url.searchParams.getAll('scope').flatMap((scope) => {
      const [type = '', name = '', actions = ''] = scope.split(':')
      return name === '' ? [] : [{ type, name, actions: actions.split(',') }]
    })
    const claims = {
      ...{ iss: tokenIssuer, sub: '', aud: url.searchParams.get('service') ?? tokenService },
      ...{ exp: now + lifetimeSeconds, nbf: now - 1, iat: now, jti: randomUUID(), access },
    }
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const text = `${part({ typ: 'JWT', alg: 'ES256', kid: keyId })}.${part(claims)}`
    const signature = createSign('sha256').update(text).sign({ key, dsaEncoding: 'ieee-p1363' })
    state.issued++
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({ token: `${text}.${signature.toString('base64url')}`, expires_in: lifetimeSeconds }),
    )
  })
  state.realm = `http://127.0.0.1:${String(await listen(test, server))}/token`
  return state
}

/** docker/libtrust's: the first 240 bits of the SHA-256 of the public key's DER, base32 in twelve groups of four. */
function libtrustKeyId(privateKey: Buffer): string {
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const bytes = createHash('sha256').update(der).digest().subarray(0, 30)
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const text = (bits.match(/.{5}/g) ?? [])
    .map((five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[parseInt(five, 2)])
    .join('')
  return (text.match(/.{4}/g) ?? []).join(':')
}
