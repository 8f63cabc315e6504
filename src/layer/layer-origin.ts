import { hasCode } from '../util/errors.js'

/** Who names a layer, and so where its blob is asked for and what is said of it. */
export interface LayerOrigin {
  readonly host: string
  readonly repository: string
  /** Whose manifest says the blob's size, and whose config its diff ID. */
  readonly image: string
}

/** Whether what failed with this error for one may go well for the other, who names the same digest. */
export function mayHelp(other: LayerOrigin, one: LayerOrigin, error: unknown): boolean {
  if (other.host !== one.host) return true
  // What a repository there has, or lets us have.
  if (hasCode(error, 'NOT_FOUND', 'GONE', 'UNAUTHORIZED', 'DENIED'))
    return other.repository !== one.repository
  // Another size or diff ID than the image says.
  return hasCode(error, 'PROTOCOL', 'DIGEST_MISMATCH') && other.image !== one.image
}
