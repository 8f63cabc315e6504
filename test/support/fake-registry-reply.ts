import type { ServerResponse } from 'node:http'
import type { FakeRequest } from './fake-registry-faults.js'

/** Sends a small answer whole, and notes it. */
export function reply(
  response: ServerResponse,
  entry: FakeRequest,
  status: number,
  body: string | Buffer,
  headers: Record<string, string | undefined> = {},
): void {
  entry.status = status
  const bytes = Buffer.from(body)
  response.setHeader('content-length', String(bytes.length))
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && value !== '') response.setHeader(name, value)
  }
  if (entry.method !== 'HEAD') entry.bytesSent += bytes.length
  response.writeHead(status)
  response.end(entry.method === 'HEAD' ? undefined : bytes)
}

/** As the OCI distribution-spec has errors. */
export function replyError(
  response: ServerResponse,
  entry: FakeRequest,
  status: number,
  code: string,
  headers: Record<string, string | undefined> = {},
  message = code.toLowerCase().replace('_', ' '),
): void {
  reply(response, entry, status, JSON.stringify({ errors: [{ code, message, detail: null }] }), {
    'content-type': 'application/json',
    ...headers,
  })
}
