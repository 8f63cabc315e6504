/**
 * Every failure that registryfs foresees has one of these codes. src/fuse/errno.ts maps each to an errno and
 * src/cli/exit-code.ts to an exit status, both exhaustively.
 */
export const errorCodes = [
  'NOT_FOUND',
  'UNAUTHORIZED',
  'DENIED',
  'TIMEOUT',
  'UNAVAILABLE',
  'RATE_LIMITED',
  /** The other side broke HTTP's or the registry protocol's rules. */
  'PROTOCOL',
  'DIGEST_MISMATCH',
  'CORRUPT',
  'UNSUPPORTED',
  /** What a handle or inode named is no longer there. */
  'GONE',
  'READ_ONLY',
  /** A file of our own cannot be read at the moment, for want of descriptors or memory. */
  'UNREADABLE',
  /** A deliberate limit of ours (size, count, depth) was exceeded. */
  'LIMIT',
  'NAME_TOO_LONG',
  'ABORTED',
  'NOT_A_DIRECTORY',
  'IS_A_DIRECTORY',
  /** Nor a directory: a fifo, a device. */
  'NOT_A_FILE',
  'BAD_HANDLE',
  'INVALID',
  'NO_ATTRIBUTE',
  /** Neither data nor a hole from there on. */
  'NO_DATA',
  /** What a command prints cannot be written. */
  'OUTPUT',
  /** The host is not ready: no /dev/fuse, no libfuse, a bad mount point, an unwritable directory. */
  'HOST',
] as const

export type ErrorCode = (typeof errorCodes)[number]

export interface ErrorContext {
  /** The image as the user named it. */
  readonly image?: string | undefined
  /** The layer's digest. */
  readonly layer?: string | undefined
  /** A byte offset: in the tar where the message speaks of the tar, else in the blob. */
  readonly offset?: number | undefined
  /** After this many ms the same request may succeed (Retry-After). */
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/** The one error class. Messages are one line, start in lower case and hold no secret and no signed URL. */
export class RegistryFsError extends Error {
  readonly code: ErrorCode
  readonly image: string | undefined
  readonly layer: string | undefined
  readonly offset: number | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause })
    this.name = 'RegistryFsError'
    this.code = code
    this.image = context.image
    this.layer = context.layer
    this.offset = context.offset
    this.retryAfterMs = context.retryAfterMs
  }

  /** The message with where it happened, as logs, status.json and `user.registryfs.error` show it. */
  describe(): string {
    const where = [
      this.image === undefined ? undefined : `image ${this.image}`,
      this.layer === undefined ? undefined : `layer ${this.layer}`,
      this.offset === undefined ? undefined : `offset ${String(this.offset)}`,
    ].filter((part) => part !== undefined)
    return where.length === 0 ? this.message : `${this.message} (${where.join(', ')})`
  }

  /** The same error with more of the place it happened at; what is already known stays. */
  within(context: Pick<ErrorContext, 'image' | 'layer' | 'offset'>): RegistryFsError {
    return new RegistryFsError(this.code, this.message, {
      image: this.image ?? context.image,
      layer: this.layer ?? context.layer,
      offset: this.offset ?? context.offset,
      retryAfterMs: this.retryAfterMs,
      cause: this.cause,
    })
  }
}

/** True when `error` is ours and has this code. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): boolean {
  return error instanceof RegistryFsError && codes.includes(error.code)
}

/** One line for any thrown value: where it happened for ours, the message for others. */
export function describeError(error: unknown): string {
  if (error instanceof RegistryFsError) return error.describe()
  if (error instanceof Error) return error.message.split('\n')[0] ?? error.name
  return String(error)
}
