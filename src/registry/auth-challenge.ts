/** One challenge of a WWW-Authenticate header (RFC 9110 11.6.1). */
export interface AuthChallenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string
  /** Names in lower case; the first of several wins. */
  readonly parameters: ReadonlyMap<string, string>
}

const tokenPattern = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const token68Pattern = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y
const quotedPattern = /"((?:[^"\\]|\\.)*)"?/y
const separatorPattern = /[\s,]*/y
const spacePattern = /[ \t]*/y
const equalsPattern = /[ \t]*=[ \t]*/y

/** All challenges of all headers, in order. What cannot be understood is left out; never throws. */
export function parseChallenges(headers: readonly string[]): readonly AuthChallenge[] {
  return headers.flatMap(parseHeader)
}

function parseHeader(header: string): readonly AuthChallenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match === null) return undefined
    at = pattern.lastIndex
    return match
  }
  while (at < header.length) {
    take(separatorPattern)
    const name = take(tokenPattern)?.[0].toLowerCase()
    if (name === undefined) {
      at++
      continue
    }
    const current = challenges.at(-1)
    if (current !== undefined && take(equalsPattern) !== undefined) {
      const quoted = take(quotedPattern)
      const value =
        quoted === undefined ? (take(tokenPattern)?.[0] ?? '') : (quoted[1] ?? '').replace(/\\(.)/g, '$1')
      if (!current.parameters.has(name)) current.parameters.set(name, value)
      continue
    }
    challenges.push({ scheme: name, parameters: new Map() })
    take(spacePattern)
    // Negotiate and its like: one opaque value, of no use to us.
    take(token68Pattern)
  }
  return challenges
}
