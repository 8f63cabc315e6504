import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConcurrencyTransport } from '../../../src/registry/decorators/concurrency.js'
import type { HttpRequest, HttpResponse, Transport } from '../../../src/registry/transport.js'

/** Answers when told to, and knows how many are under way. */
class Gate implements Transport {
  underWay = 0
  readonly #pending: ((status: number) => void)[] = []

  async send(request: HttpRequest): Promise<HttpResponse> {
    this.underWay++
    const status = await new Promise<number>((resolve) => this.#pending.push(resolve))
    this.underWay--
    const body = { consume: async () => Promise.resolve('ended' as const), discard: () => undefined }
    return { status, headers: {}, url: request.url, redirected: false, body }
  }

  /** Answers all that are under way. */
  async answer(status: number): Promise<number> {
    const now = this.#pending.splice(0)
    for (const resolve of now) resolve(status)
    await new Promise(setImmediate)
    return now.length
  }
}

function setUp(most = 8) {
  const gate = new Gate()
  const transport = new ConcurrencyTransport(gate, most)
  const send = async (
    signal = new AbortController().signal,
    url = 'https://r.example/x',
  ): Promise<HttpResponse> =>
    transport.send({
      method: 'GET',
      url: new URL(url),
      headers: {},
      kind: 'blob',
      what: 'test',
      authorization: undefined,
      signal,
    })
  const sendMany = (count: number): void => {
    for (let i = 0; i < count; i++)
      void send().then(({ body }) => {
        body.discard()
      })
  }
  return { gate, send, sendMany }
}

test('a host that says 429 or 503 gets half as many requests at a time, and more again as they go well', async () => {
  for (const status of [429, 503]) {
    const { gate, sendMany } = setUp()
    sendMany(100)
    await new Promise(setImmediate)
    assert.equal(gate.underWay, 8)
    await gate.answer(status)
    assert.equal(gate.underWay, 4)
    const widths: number[] = []
    for (let i = 0; i < 6; i++) widths.push(await gate.answer(200))
    assert.deepEqual(widths, [4, 5, 6, 7, 8, 8])
  }
})

test('one burst of refusals is one sign, and one request at a time always remains', async () => {
  const { gate, sendMany } = setUp(2)
  sendMany(20)
  await new Promise(setImmediate)
  for (let i = 0; i < 4; i++) await gate.answer(503)
  assert.equal(gate.underWay, 1)
})

test('other hosts are not concerned', async () => {
  const { gate, send, sendMany } = setUp(1)
  sendMany(5)
  void send(undefined, 'https://cdn.example/x')
  await new Promise(setImmediate)
  assert.equal(gate.underWay, 2)
})

test('who gives up while waiting leaves its turn to the others', async () => {
  const { gate, send, sendMany } = setUp(1)
  const controller = new AbortController()
  sendMany(1)
  const waiting = send(controller.signal)
  sendMany(1)
  controller.abort()
  await assert.rejects(waiting, { code: 'ABORTED' })
  assert.equal(await gate.answer(200), 1)
  assert.equal(await gate.answer(200), 1)
  assert.equal(gate.underWay, 0)
})

test('an unread refusal does not keep others waiting', async () => {
  const { gate, send } = setUp(1)
  const refused = send()
  await new Promise(setImmediate)
  await gate.answer(401)
  assert.equal((await refused).status, 401)
  void send()
  await new Promise(setImmediate)
  assert.equal(gate.underWay, 1)
})
