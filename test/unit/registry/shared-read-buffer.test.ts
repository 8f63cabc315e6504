import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildConnector, Pool } from 'undici'
import { onread, readingAtOnce } from '../../../src/registry/shared-read-buffer.js'
import { listen } from '../../support/listen.js'

test('bodies that are taken in pieces, side by side, each keep their own bytes', async (t) => {
  const bodies = Array.from({ length: 4 }, () => randomBytes(3_000_000))
  const server = createServer((request, response) => {
    response.end(bodies[Number(request.url?.slice(1))])
  })
  const origin = `http://127.0.0.1:${String(await listen(t, server))}`
  const pool = new Pool(origin, {
    connections: 4,
    connect: readingAtOnce(buildConnector({ onread, timeout: 5000, host: '127.0.0.1', port: 0 })),
  })
  t.after(async () => pool.destroy())
  let pauses = 0
  const fetched = bodies.map(async (_, i) => {
    const parts: Buffer[] = []
    await new Promise<void>((resolve, reject) => {
      pool.dispatch(
        { path: `/${String(i)}`, method: 'GET' },
        {
          onRequestStart: () => undefined,
          onResponseStart: () => undefined,
          onResponseData: (controller, chunk) => {
            parts.push(Buffer.from(chunk))
            // Some stop for a while: what else has come by then must be kept for them.
            if (i % 2 === 0 && parts.length % 3 === 0) {
              pauses++
              controller.pause()
              void sleep(1).then(() => {
                controller.resume()
              })
            }
          },
          onResponseEnd: () => {
            resolve()
          },
          onResponseError: (_controller, error) => {
            reject(error)
          },
        },
      )
    })
    return Buffer.concat(parts)
  })
  for (const [i, body] of (await Promise.all(fetched)).entries()) assert.ok(body.equals(bodies[i] as Buffer))
  assert.ok(pauses > 0)
})
