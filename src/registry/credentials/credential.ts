/** What a user proves themselves with to one registry. Never printed. */
export interface Credential {
  readonly username: string
  readonly password: string
  /** An identity token (OAuth2 refresh token): it is exchanged for tokens, and stands in for the password. */
  readonly isIdentityToken: boolean
}

/** What was found, and why there may be less than there should be. */
export interface FoundCredential {
  readonly credential?: Credential | undefined
  /** For the error of the request that is then refused; names files and programs, no secrets. */
  readonly problem?: string | undefined
}

export function isSameCredential(a: Credential | undefined, b: Credential | undefined): boolean {
  return (
    a?.username === b?.username && a?.password === b?.password && a?.isIdentityToken === b?.isIdentityToken
  )
}

/** RFC 7617. */
export function basicAuthorization({ username, password }: Credential): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
