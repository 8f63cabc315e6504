import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { withProgressDeadline } from '../../../src/fuse/deadline.js'
import type { Image } from '../../../src/image/image.js'

const deadlineMs = 800

interface Waiting {
  /** Whether it was given up within so much time more. */
  readonly givenUpAfter: (ms: number) => Promise<boolean>
}

/** A request that is never answered. */
function waiting(t: TestContext, progress: () => number | undefined): Waiting {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let isGivenUp = false
  const image = { progress: undefined } as unknown as Image
  Object.defineProperty(image, 'progress', { get: progress })
  const work = async (): Promise<never> => new Promise(() => undefined)
  withProgressDeadline(deadlineMs, 'reading', () => image, [], work).catch((error: unknown) => {
    assert.equal((error as { code?: unknown }).code, 'TIMEOUT')
    isGivenUp = true
  })
  return {
    givenUpAfter: async (ms) => {
      t.mock.timers.tick(ms)
      await turn()
      return isGivenUp
    },
  }
}

test('a request for which nothing runs is given up at the deadline', async (t) => {
  const { givenUpAfter } = waiting(t, () => undefined)
  assert.equal(await givenUpAfter(deadlineMs - 1), false)
  assert.equal(await givenUpAfter(1), true)
})

test('one for which a pass runs that stands still is given up at most an eighth later, however far the pass had come', async (t) => {
  const { givenUpAfter } = waiting(t, () => 12_345)
  assert.equal(await givenUpAfter(deadlineMs), false)
  assert.equal(await givenUpAfter(deadlineMs / 8), true)
})

test('one whose pass gets on is given another deadline from then', async (t) => {
  let progress = 1
  const { givenUpAfter } = waiting(t, () => progress)
  for (let times = 0; times < 5; times++) {
    assert.equal(await givenUpAfter(deadlineMs), false)
    progress++
  }
  assert.equal(await givenUpAfter(deadlineMs), false)
  assert.equal(await givenUpAfter(deadlineMs / 8), true)
})
