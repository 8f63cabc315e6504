import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { BytesBlob } from '../../../src/blob/bytes-blob.js'
import { checkQcow2 } from '../../../src/cli/check-qcow2.js'
import { qemuJson } from '../../../src/cli/qemu-json.js'
import { hasCode } from '../../../src/util/errors.js'
import { output } from '../../support/mounted.js'
import { file, tarOf } from '../../support/tar-of.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

test('qemu takes a member for a raw disk, or for the qcow2 that it is, never by guessing', async (t) => {
  const folder = await temporaryDirectory(t)
  const disk = join(folder, 'disk.qcow2')
  await output('qemu-img', 'create', '-q', '-f', 'qcow2', disk, '3M')
  await output('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 1M 64k', disk)
  // Not in whole sectors.
  const bytes = Buffer.concat([await readFile(disk), Buffer.alloc(100)])
  const tar = join(folder, 'layer.tar')
  await writeFile(tar, tarOf(file('a', 'x'), file('disk', bytes)))
  await writeFile(disk, bytes)
  await checkQcow2(new BytesBlob(bytes), {})
  for (const place of [
    { path: tar, offset: 3 * 512, size: bytes.length },
    { path: disk, offset: 0, size: bytes.length },
  ]) {
    const info = async (argument: string): Promise<Record<string, unknown>> =>
      JSON.parse(await output('qemu-img', 'info', '--output=json', argument)) as Record<string, unknown>
    const inside = await info(qemuJson(place, 'qcow2'))
    assert.deepEqual([inside['format'], inside['virtual-size']], ['qcow2', 3 << 20])
    assert.equal((await info(qemuJson(place)))['format'], 'raw')
    const raw = join(folder, 'raw')
    await output('qemu-img', 'convert', '-O', 'raw', qemuJson(place, 'qcow2'), raw)
    const expected = Buffer.alloc(3 << 20)
    expected.fill(7, 1 << 20, (1 << 20) + (64 << 10))
    assert.ok((await readFile(raw)).equals(expected))
    await output('qemu-img', 'convert', '-O', 'raw', qemuJson(place), raw)
    assert.ok((await readFile(raw)).subarray(0, bytes.length).equals(bytes))
  }
})

test('a qcow2 that has qemu open another file of this machine is refused', async (t) => {
  const folder = await temporaryDirectory(t)
  const [base, backed, split] = ['base', 'backed', 'split'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  await writeFile(base, Buffer.alloc(1 << 20))
  await output('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', backed)
  await output(
    'qemu-img',
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    `data_file=${base},data_file_raw=on`,
    split,
    '1M',
  )
  for (const [path, reason] of [
    [backed, /a backing file/],
    [split, /in another file/],
    [base, /no qcow2/],
  ] as const)
    await assert.rejects(
      checkQcow2(new BytesBlob(await readFile(path)), {}),
      (error) => hasCode(error, 'UNSUPPORTED') && reason.test(String(error)),
    )
})
