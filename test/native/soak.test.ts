import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ByteSource } from '../../src/blob/source.js'
import { parseReference } from '../../src/registry/reference.js'
import { describeError } from '../../src/util/errors.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { openTestCore } from '../support/in-process-core.js'
import { seededRandom, startRandomFaults } from '../support/random-faults.js'
import { sampleData } from '../support/sample-data.js'
import { file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

/** `make soak` sets it. */
const seconds = Number(process.env['SOAK_SECONDS'] ?? 20)
const seed = Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const readers = 8
/** An hour has 12 tokens and, at worst, 12 signed URLs for each blob: 120 s have so many of each. */
const lifeMs = 10_000

test(
  `${String(seconds)} s of faults and expiries: no wrong byte, and no error`,
  { timeout: (seconds + 300) * 1000 },
  async (t) => {
    t.diagnostic(`SOAK_SEED=${String(seed)}`)
    const fake = await FakeRegistry.start({
      auth: { ttlMs: lifeMs },
      faults: { redirect: 'cdn', urlTtlMs: lifeMs },
    })
    t.after(async () => fake.stop())
    const disk = sampleData('random', 24 << 20)
    fake.addImage('team/disk', '1', { layers: [gzipLayer(tarOf(file('disk', disk)))] })
    const directory = await temporaryDirectory(t)
    // So little cache that most reads go over the wire; connections that stand still are given up soon.
    const core = await openTestCore(t, directory, {
      cacheBytes: 6 << 20,
      memoryBytes: 8 << 20,
      stallMs: 500,
      tagTtlMs: 1_000,
    })
    const faults = startRandomFaults(fake, seed)
    const reference = parseReference(`${fake.host}/team/disk:1`)
    const until = performance.now() + seconds * 1000
    const errors: string[] = []
    let reads = 0
    const open = async (): Promise<ByteSource | undefined> => {
      const image = await core.images.open(reference)
      return (await image.root.lookup(Buffer.from('disk')))?.open()
    }
    const reader = async (number: number): Promise<void> => {
      const random = seededRandom(seed + number)
      while (performance.now() < until) {
        try {
          const source = await open()
          assert.equal(source?.size, disk.length)
          for (let i = 0; i < 20 && performance.now() < until; i++) {
            const offset = Math.floor(random() * disk.length)
            const length = Math.floor(random() * (1 << 20))
            const bytes = await source.read(offset, length)
            reads++
            assert.ok(
              bytes.equals(disk.subarray(offset, offset + length)),
              `wrong bytes at ${String(offset)}`,
            )
          }
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error
          errors.push(describeError(error))
        }
      }
    }
    await Promise.all(Array.from({ length: readers }, async (_, number) => reader(number)))
    const counts = faults.stop()
    const { requests } = await core.status()
    t.diagnostic(JSON.stringify({ reads, ...requests, faults: counts, errors: errors.length }))
    // A machine that does other things as well manages some ten a second.
    assert.ok(reads > seconds, `only ${String(reads)} reads`)
    assert.deepEqual(errors, [])
    assert.ok(fake.requests.every(({ kind, authorized }) => kind !== 'cdn' || !authorized))
    assert.ok(fake.requests.every(({ kind, method }) => kind === 'manifest' || method === 'GET'))
    assert.equal(
      fake.requests.filter(
        ({ kind, method, status }) => kind === 'manifest' && method === 'GET' && status === 200,
      ).length,
      1,
    )
    const tokens = fake.requests.filter(({ kind, status }) => kind === 'token' && status === 200).length
    assert.ok(tokens >= Math.floor((seconds * 1000) / lifeMs), String(tokens))
  },
)
