import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import { errnoOf } from '../../../src/fuse/errno.js'
import { errorCodes, RegistryFsError, type ErrorCode } from '../../../src/util/errors.js'

const expected: Partial<Record<ErrorCode, keyof typeof constants.errno>> = {
  NOT_FOUND: 'ENOENT',
  UNAUTHORIZED: 'EACCES',
  DENIED: 'EACCES',
  TIMEOUT: 'ETIMEDOUT',
  UNAVAILABLE: 'EIO',
  DIGEST_MISMATCH: 'EIO',
  UNSUPPORTED: 'EOPNOTSUPP',
  GONE: 'ESTALE',
  READ_ONLY: 'EROFS',
  UNREADABLE: 'EIO',
  LIMIT: 'EFBIG',
  ABORTED: 'EINTR',
  NO_ATTRIBUTE: 'ENODATA',
}

test('every code has an errno', () => {
  for (const code of errorCodes) {
    const errno = errnoOf(new RegistryFsError(code, 'x'))
    assert.ok(errno > 0, code)
    if (expected[code] !== undefined) assert.equal(errno, constants.errno[expected[code]], code)
  }
})

test('whatever else is thrown is EIO', () => {
  for (const thrown of [new Error('x'), new TypeError('x'), undefined, 'x', { code: 'ENOENT' }]) {
    assert.equal(errnoOf(thrown), constants.errno.EIO)
  }
})
