const staleStatuses: readonly number[] = [400, 401, 403, 404, 410]

/** What a storage answers when a signed URL has expired (S3 400 and 403, R2 403, Azure 401), or the object moved. */
export function isStaleStatus(status: number): boolean {
  return staleStatuses.includes(status)
}
