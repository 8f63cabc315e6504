import type { AuthChallenge } from './auth-challenge.js'
import { parseToken, tokenUrl, type BearerToken } from './bearer-token.js'
import { basicAuthorization, type Credential } from './credentials/credential.js'
import { isLoopback } from './insecure-hosts.js'
import { readBody } from './read-body.js'
import { checkStatus } from './status-check.js'
import type { HttpRequest, Transport } from './transport.js'

export interface TokenExchange {
  readonly transport: Transport
  readonly challenge: AuthChallenge
  readonly scope: string
  /** Undefined: anonymously. */
  readonly credential: Credential | undefined
  /** Whether a token server there may be asked over plain http, without credentials. */
  readonly allowsPlainHttp: (host: string) => boolean
  /** Of the token's request: what, signal, isPatient and the headers that all have. */
  readonly request: HttpRequest
}

const tokenBytes = 1024 * 1024
const clientId = 'registryfs'

/**
 * One token of a token server (distribution's token and oauth2 specs). No redirect is followed, and credentials go to no
 * server in plain http, unless it is this machine.
 */
export async function fetchToken(exchange: TokenExchange): Promise<BearerToken> {
  const { challenge, scope, allowsPlainHttp, request } = exchange
  const url = tokenUrl(challenge, scope, allowsPlainHttp, request.what)
  const mayKnow = url.protocol === 'https:' || isLoopback(url.host)
  const credential = mayKnow ? exchange.credential : undefined
  if (credential?.isIdentityToken === true) {
    const token = await postForToken(exchange, url, credential)
    if (token !== undefined) return token
  }
  const headers =
    credential === undefined
      ? request.headers
      : { ...request.headers, authorization: basicAuthorization(credential) }
  if (credential !== undefined && !credential.isIdentityToken)
    url.searchParams.set('account', credential.username)
  return receive(exchange, { ...request, url, headers })
}

/** Undefined: the server does not know this way. */
async function postForToken(
  exchange: TokenExchange,
  url: URL,
  credential: Credential,
): Promise<BearerToken | undefined> {
  const { transport, request } = exchange
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: credential.password,
    client_id: clientId,
    service: url.searchParams.get('service') ?? '',
    scope: url.searchParams.getAll('scope').join(' '),
  })
  const target = new URL(url)
  target.searchParams.delete('service')
  target.searchParams.delete('scope')
  const post: HttpRequest = {
    ...request,
    method: 'POST',
    url: target,
    headers: { ...request.headers, 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  }
  const response = await transport.send(post)
  if (response.status === 404 || response.status === 405) {
    response.body.discard()
    return undefined
  }
  await checkStatus(response, post, [200])
  return parseToken(await readBody(response, tokenBytes, post.what), post.what)
}

async function receive(exchange: TokenExchange, request: HttpRequest): Promise<BearerToken> {
  const response = await checkStatus(await exchange.transport.send(request), request, [200])
  return parseToken(await readBody(response, tokenBytes, request.what), request.what)
}
