/** What a FakeRegistry does wrong, each a thing that a real one was seen doing. All may be changed while it runs. */
export interface Faults {
  /** The next so many answers of this kind are this status instead. */
  failing?: {
    kind: FakeRequest['kind'] | 'any'
    status: number
    times: number
    retryAfter?: string
    body?: string
  }
  /** Everything is answered with a web page and status 200. */
  html?: boolean
  latencyMs?: number
  /** A mirror of containerd's kind: whoever does not ask for this registry (`?ns=`) is given nothing. */
  namespace?: string
  /** Value of the Warning header of all answers but the CDN's. */
  warning?: string
  /** Of manifests, as Docker Hub tells it. */
  rateLimit?: { limit: number; remaining: number }
  clockAheadMs?: number

  /** ignored: 200 and everything. Others: a 206 that is not what was asked for. */
  ranges?: 'ignored' | 'shifted' | 'wrong-total' | 'star-total' | 'no-content-range' | 'multipart'
  /** So often only; undefined: always. */
  rangesTimes?: number
  /** Blob bodies break off with a reset after so many bytes, so many times. */
  resetAfter?: { bytes: number; times: number }
  /** Blob bodies end properly, but so many bytes early. */
  shortBy?: { bytes: number; times: number }
  /** Blob bodies stop coming after so many bytes, the connection staying open. */
  stallAfter?: { bytes: number; times: number }
  /** Of each connection; what is being sent already is slowed down, or let go, too. */
  bytesPerSecond?: number
  /** Sent whatever was asked for. */
  contentEncoding?: string
  /** Blobs are compressed for whoever accepts that. */
  gzipIfAccepted?: boolean
  /** `Accept-Ranges: bytes` is said, whatever is done. */
  acceptRanges?: boolean
  /** Digests that are answered with 404. */
  missingBlobs?: Set<string>
  /** Blobs are served with a byte changed: all, or those of these digests. */
  corruptBlobs?: boolean | ReadonlySet<string>

  /** Where blobs are redirected to, for GET only; HEAD on a blob is refused as on a signed URL. */
  redirect?: 'cdn' | 'relative' | 'chain' | 'loop' | 'https-elsewhere' | 'http-elsewhere'
  redirectStatus?: number
  /** How long a signed URL works, and what is answered afterwards. */
  urlTtlMs?: number
  /** So many answers are had from each signed URL. */
  urlUses?: number
  expiredUrlStatus?: number

  corruptManifests?: boolean
  noContentDigest?: boolean
  /** Instead of the right one; empty: no header. */
  manifestContentType?: string
  headStatus?: number
  noCatalog?: boolean
  noReferrers?: boolean
  /** Names per page of the listings, with a Link to the next. */
  pageSize?: number
}

export interface FakeAuth {
  /** A token is refused when it is older. */
  ttlMs?: number
  field?: 'token' | 'access_token'
  /** Undefined: from ttlMs. */
  expiresIn?: number | 'missing'
  /** Challenge in the 401s of the API; /v2/ always has one. */
  challenge?: 'normal' | 'missing' | 'without-scope' | 'several' | 'many-scopes'
  /** For a token that is no longer good: ECR sends 403, ECR Public 400, both without a challenge. */
  refusal?: 401 | 403 | 400
  /** Harbor: whoever comes with an expired token is asked for Basic. */
  basicOnceExpired?: boolean
  /** A token never helps. */
  denied?: boolean
  /** The token server is another origin than the registry. */
  realm?: string
  /** Basic: the registry takes users' passwords itself, and its answers to expired tokens are no matter. */
  scheme?: 'bearer' | 'basic'
  /** By name; without one of them nobody is given a token, or let in with Basic. */
  users?: Map<string, string>
  /** What a POST to the token server must hold; 404: the server knows no POST. */
  identityToken?: string
  postStatus?: number
  /** Tokens are good for another repository only, without a word. */
  grantsLess?: boolean
  /** Of several scopes the token is good for the first. */
  firstScopeOnly?: boolean
}

/** One line of a FakeRegistry's log. */
export interface FakeRequest {
  readonly kind: 'ping' | 'manifest' | 'blob' | 'list' | 'token' | 'cdn' | 'referrers' | 'other'
  readonly method: string
  /** Without query. */
  readonly path: string
  readonly query: string
  readonly range: string | undefined
  readonly authorized: boolean
  readonly acceptEncoding: string | undefined
  readonly userAgent: string | undefined
  status: number
  /** Body bytes handed to the socket. */
  bytesSent: number
}
