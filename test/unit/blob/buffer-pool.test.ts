import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferPool, type Lease } from '../../../src/blob/buffer-pool.js'

const slabBytes = 32 << 20
const freePool = (): BufferPool =>
  new BufferPool(
    () => Infinity,
    () => false,
  )

test('no two leases share memory, whatever comes and goes', () => {
  const pool = freePool()
  const held: { lease: Lease; mark: number }[] = []
  let state = 12_345
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff
    return state % below
  }
  for (let i = 0; i < 3_000; i++) {
    if (held.length > 0 && random(100) < (held.length > 60 ? 60 : 45)) {
      const [one] = held.splice(random(held.length), 1)
      assert.ok(one !== undefined && one.lease.bytes.every((byte) => byte === one.mark), String(i))
      one.lease.release()
      continue
    }
    const lease = pool.take(1 + random(400_000))
    const mark = random(256)
    lease.bytes.fill(mark)
    held.push({ lease, mark })
  }
  for (const { lease, mark } of held) assert.ok(lease.bytes.every((byte) => byte === mark))
})

test('memory is used again once the last holder has let go, and not before', () => {
  const pool = freePool()
  const first = pool.take(slabBytes / 2)
  const { byteOffset } = first.bytes
  first.hold().release()
  const second = pool.take(slabBytes / 2)
  assert.notEqual(second.bytes.byteOffset, byteOffset)
  first.release()
  const third = pool.take(slabBytes / 2)
  assert.equal(third.bytes.byteOffset, byteOffset)
  assert.equal(third.bytes.buffer, second.bytes.buffer)
})

test('what is longer than half a slab comes alone, and counts for what it is', () => {
  const lease = freePool().take(slabBytes / 2 + 1)
  assert.equal(lease.bytes.length, slabBytes / 2 + 1)
  assert.equal(lease.heldBytes, slabBytes / 2 + 1)
})

test('what fails gives its memory back', async () => {
  const pool = freePool()
  const where: number[] = []
  const failing = async ({ byteOffset }: { byteOffset: number }): Promise<never> => {
    where.push(byteOffset)
    return Promise.reject(new Error('no'))
  }
  for (let i = 0; i < 3; i++) {
    await assert.rejects(pool.filled(1_000_000, async ({ bytes }) => failing(bytes)))
    await assert.rejects(pool.lend(1_000_000, failing))
  }
  assert.deepEqual(new Set(where), new Set([where[0]]))
})

test('what is kept takes no more memory than it may, as long as something can be given up', () => {
  const kept: Lease[] = []
  const pool = new BufferPool(
    () => 2 * slabBytes,
    () => {
      const oldest = kept.shift()
      oldest?.release()
      return oldest !== undefined
    },
  )
  for (let i = 0; i < 500; i++) kept.push(pool.take(1_000_000 + ((i * 7_919) % 500_000)))
  assert.equal(new Set(kept.map(({ bytes }) => bytes.buffer)).size, 2)
  // What is in use is not to be had.
  const inUse = Array.from({ length: 80 }, () => pool.take(1_000_000))
  assert.equal(kept.length, 0)
  assert.ok(new Set(inUse.map(({ bytes }) => bytes.buffer)).size >= 3)
})
