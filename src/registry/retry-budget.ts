import type { HttpRequest } from './transport.js'

/** How long and how often a request may be repeated. */
export interface RetryBudget {
  /** Requests in all, the first included. */
  readonly attempts: number
  /** No new attempt starts later than this after the first. */
  readonly totalMs: number
  /** The same while the host cannot be reached at all: nobody listens, no route, no name server. */
  readonly unreachableMs: number
  /** A Retry-After beyond this is not waited for. */
  readonly longestWaitMs: number
  /** The wait before the second attempt; doubles each time. */
  readonly baseMs: number
  readonly maxMs: number
}

/** Somebody waits for a name: soon an answer, whatever it is. */
const document: RetryBudget = {
  attempts: 4,
  // A stalled connection of 20 s is worth one more.
  totalMs: 25_000,
  unreachableMs: 1_500,
  longestWaitMs: 5_000,
  baseMs: 200,
  maxMs: 3_000,
}

/** Somebody reads an open file, and an error ends the work of hours: long enough for a registry to be restarted. */
const read: RetryBudget = {
  attempts: 9,
  totalMs: 45_000,
  unreachableMs: 20_000,
  longestWaitMs: 30_000,
  baseMs: 200,
  maxMs: 5_000,
}

/** A first pass: whoever waits for it has a deadline of their own. */
const patient: RetryBudget = {
  attempts: 20,
  totalMs: 240_000,
  unreachableMs: 120_000,
  longestWaitMs: 120_000,
  baseMs: 200,
  maxMs: 15_000,
}

/** By who waits. */
export function budgetOf(request: Pick<HttpRequest, 'kind' | 'isPatient'>): RetryBudget {
  if (request.isPatient === true) return patient
  return request.kind === 'blob' ? read : document
}
