import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Deferred } from '../../src/util/deferred.js'
import { hasCode } from '../../src/util/errors.js'
import { WeightedSemaphore } from '../../src/util/weighted-semaphore.js'

interface Work {
  readonly done: Promise<void>
  finish(): void
}

const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Starts pieces of work that are told in `begun`, and last until they are finished. */
function starter(total: number): {
  readonly begun: string[]
  readonly start: (name: string, weight: number, signal?: AbortSignal) => Work
} {
  const semaphore = new WeightedSemaphore(total)
  const begun: string[] = []
  const start = (name: string, weight: number, signal?: AbortSignal): Work => {
    const end = new Deferred<undefined>()
    const done = semaphore.run(weight, signal, async () => {
      begun.push(name)
      await end.promise
    })
    done.catch(() => undefined)
    return {
      done,
      finish: () => {
        end.resolve(undefined)
      },
    }
  }
  return { begun, start }
}

test('so much work is done at a time as there is weight for, in order', async () => {
  const { begun, start } = starter(10)
  const first = start('a', 6)
  const second = start('b', 4)
  const third = start('c', 5)
  // There would be room for it once b is done, but c came before.
  start('d', 1)
  await settled()
  assert.deepEqual(begun, ['a', 'b'])
  second.finish()
  await settled()
  assert.deepEqual(begun, ['a', 'b'])
  first.finish()
  await settled()
  assert.deepEqual(begun, ['a', 'b', 'c', 'd'])
  third.finish()
})

test('what is heavier than all of it is done alone', async () => {
  const { begun, start } = starter(10)
  const heavy = start('heavy', 11)
  const light = start('light', 1)
  const other = start('heavy too', 50)
  await settled()
  assert.deepEqual(begun, ['heavy'])
  heavy.finish()
  await settled()
  assert.deepEqual(begun, ['heavy', 'light'])
  light.finish()
  await settled()
  assert.deepEqual(begun, ['heavy', 'light', 'heavy too'])
  other.finish()
})

test('who gives up while he waits is forgotten, and those behind him go on', async () => {
  const { begun, start } = starter(10)
  const first = start('a', 8)
  const controller = new AbortController()
  const given = start('b', 5, controller.signal)
  start('c', 2)
  await settled()
  controller.abort()
  await assert.rejects(given.done, (error: unknown) => hasCode(error, 'ABORTED'))
  await settled()
  assert.deepEqual(begun, ['a', 'c'])
  first.finish()
  await assert.rejects(start('d', 1, controller.signal).done, (error: unknown) => hasCode(error, 'ABORTED'))
  await settled()
  assert.deepEqual(begun, ['a', 'c'])
})
