import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findMount, parseMountInfo } from '../../../src/fuse/mountinfo.js'

const text = `22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw
41 22 0:38 / /mnt/with\\040space\\134and\\012more ro,nosuid - fuse.registryfs some\\040thing ro
42 22 0:39 / /mnt/caf\xc3\xa9 ro - fuse.sshfs x ro
43 22 0:40 / /mnt/x rw - tmpfs none rw
44 43 0:41 / /mnt/x ro - fuse.registryfs registryfs ro,user_id=0
nonsense
`

test('mountinfo is parsed as proc(5) describes it', () => {
  const mounts = parseMountInfo(text)
  assert.equal(mounts.length, 5)
  assert.deepEqual(mounts[1], {
    id: 41,
    device: '0:38',
    mountPoint: '/mnt/with space\\and\nmore',
    type: 'fuse.registryfs',
    source: 'some thing',
  })
  assert.equal(mounts[2]?.mountPoint, '/mnt/café')
})

test('the mount on top is found', () => {
  assert.equal(findMount('/mnt/x', parseMountInfo(text))?.id, 44)
  assert.equal(findMount('/mnt', parseMountInfo(text)), undefined)
})
