import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeBatchForget,
  decodeForget,
  decodeGetattr,
  decodeHandle,
  decodeInit,
  decodeInterrupt,
  decodeName,
  decodeOpen,
  decodeRead,
  decodeRequests,
  decodeSeek,
  decodeXattr,
  isChange,
  opcodes,
} from '../../../src/fuse/fuse-protocol.js'
import { bytesOf, nobody, requestBytes } from '../../support/fuse-bytes.js'

test('several requests in one buffer are split by their lengths', () => {
  const bytes = Buffer.concat([
    requestBytes('lookup', 2, 1, 'vm'),
    requestBytes('statfs', 4, 1),
    requestBytes('read', 0x1_0000_0006, 0x2_0000_0003, 7n, 5n, 4096, 0),
  ])
  const requests = decodeRequests(bytes)
  assert.deepEqual(
    requests.map(({ opcode, unique, inode, body }) => [opcode, unique, inode, body.length]),
    [
      [1, 2, 1, 3],
      [17, 4, 1, 0],
      [15, 0x1_0000_0006, 0x2_0000_0003, 24],
    ],
  )
  assert.deepEqual(decodeRequests(Buffer.alloc(0)), [])
})

test('the header is laid out as linux/fuse.h has it', () => {
  const bytes = Buffer.from(
    '2b00000001000000' + // 43 bytes, FUSE_LOOKUP
      '0400000000000000' + // unique
      '0100000000000000' + // nodeid
      'e8030000e8030000ffffff7f' + // uid, gid, pid
      '00000000' + // total_extlen, padding
      '766d00',
    'hex',
  )
  assert.deepEqual(requestBytes('lookup', 4, 1, 'vm'), bytes)
  const [request] = decodeRequests(bytes)
  assert.deepEqual(request, { opcode: 1, unique: 4, inode: 1, pid: nobody, body: Buffer.from('vm\0') })
})

test('a length that lies is refused at every byte', () => {
  const whole = requestBytes('lookup', 2, 1, 'name')
  for (let length = 1; length < whole.length; length++) {
    assert.throws(() => decodeRequests(whole.subarray(0, length)), RangeError, String(length))
  }
  for (const lie of [0, 39, whole.length + 1, 0xffff_ffff]) {
    const bytes = Buffer.from(whole)
    bytes.writeUInt32LE(lie, 0)
    assert.throws(() => decodeRequests(bytes), RangeError, String(lie))
  }
  // One that is too short eats the start of the next.
  const bytes = Buffer.concat([whole, whole])
  bytes.writeUInt32LE(whole.length - 1, 0)
  assert.throws(() => decodeRequests(bytes), RangeError)
})

test('the body of every opcode is decoded', () => {
  assert.deepEqual(decodeInit(bytesOf(7, 45, 131_072, 0xffff_fffb, 1, Buffer.alloc(44))), {
    major: 7,
    minor: 45,
    maxReadAhead: 131_072,
    flags: 0xffff_fffb,
    hasPassthrough: false,
  })
  const flagsOf = (flags: number, more: number): boolean =>
    decodeInit(bytesOf(7, 45, 131_072, flags, more, Buffer.alloc(44))).hasPassthrough
  assert.deepEqual(
    [flagsOf(0x4000_0000, 0x20), flagsOf(0x4000_0000, 0x1f), flagsOf(0, 0x20)],
    [true, false, false],
  )
  assert.deepEqual(decodeName(bytesOf('not\xffutf8')), Buffer.from('not\xffutf8', 'latin1'))
  assert.equal(decodeForget(bytesOf(0x1_0000_0001n)), 0x1_0000_0001)
  assert.equal(decodeGetattr(bytesOf(0, 0, 9n)), undefined)
  assert.equal(decodeGetattr(bytesOf(1, 0, 9n)), 9)
  assert.deepEqual(decodeOpen(bytesOf(0o100002, 0)), { flags: 0o100002 })
  const read = bytesOf(3n, 0x5_0000_1000n, 1 << 20, 0, 0n, 0, 0)
  assert.deepEqual(decodeRead(read), { handle: 3, offset: 0x5_0000_1000, size: 1 << 20 })
  assert.equal(decodeHandle(bytesOf(8n, 0, 0, 0n)), 8)
  assert.deepEqual(decodeXattr(bytesOf(64, 0, 'user.x')), { size: 64, name: 'user.x' })
  assert.deepEqual(decodeXattr(bytesOf(64, 0)), { size: 64, name: '' })
  assert.equal(decodeXattr(bytesOf(0, 0, 'user.caf\xc3\xa9')).name, 'user.café')
  assert.equal(decodeInterrupt(bytesOf(0x1_0000_0002n)), 0x1_0000_0002)
  assert.deepEqual(decodeBatchForget(bytesOf(2, 0, 5n, 1n, 6n, 3n)), [
    { inode: 5, count: 1 },
    { inode: 6, count: 3 },
  ])
  assert.deepEqual(decodeSeek(bytesOf(3n, 100n, 3, 0)), { handle: 3, offset: 100, whence: 'data' })
  assert.deepEqual(decodeSeek(bytesOf(3n, 100n, 4, 0)), { handle: 3, offset: 100, whence: 'hole' })
  assert.equal(decodeSeek(bytesOf(3n, 100n, 2, 0)).whence, undefined)
})

test('a name without its NUL ends where the request does', () => {
  assert.equal(decodeName(Buffer.from('abc')).toString(), 'abc')
  assert.equal(decodeName(Buffer.from('abc\0def\0')).toString(), 'abc')
  assert.equal(decodeName(Buffer.alloc(0)).length, 0)
})

test('a forgotten batch is as long as its request, whatever it says', () => {
  assert.deepEqual(decodeBatchForget(bytesOf(0xffff_ffff, 0, 5n, 1n)), [{ inode: 5, count: 1 }])
  assert.deepEqual(decodeBatchForget(bytesOf(3, 0)), [])
  assert.deepEqual(decodeBatchForget(bytesOf(1, 0, 5n, 1n, 6n, 1n)), [{ inode: 5, count: 1 }])
})

test('bodies that are cut off are RangeErrors', () => {
  const cut: [string, (body: Buffer) => unknown, number][] = [
    ['init', decodeInit, 16],
    ['forget', decodeForget, 8],
    ['getattr', (body) => decodeGetattr(Buffer.concat([bytesOf(1), body])), 12],
    ['open', decodeOpen, 4],
    ['read', decodeRead, 20],
    ['handle', decodeHandle, 8],
    ['xattr', decodeXattr, 4],
    ['batchForget', decodeBatchForget, 4],
    ['interrupt', decodeInterrupt, 8],
    ['seek', decodeSeek, 20],
  ]
  for (const [name, decode, bytes] of cut) {
    decode(Buffer.alloc(bytes))
    for (let length = 0; length < bytes; length++) {
      assert.throws(() => decode(Buffer.alloc(length)), RangeError, `${name}, ${String(length)} bytes`)
    }
  }
})

test('what would change something is known as that', () => {
  const names =
    'setattr 4 symlink 6 mknod 8 mkdir 9 unlink 10 rmdir 11 rename 12 link 13 write 16 setxattr 21'
  for (const number of names.match(/\d+/g) ?? []) assert.ok(isChange(Number(number)), number)
  for (const number of [24, 35, 43, 45, 47, 51]) assert.ok(isChange(number), String(number))
  for (const number of Object.values(opcodes)) assert.ok(!isChange(number), String(number))
})
