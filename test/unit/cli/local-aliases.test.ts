import assert from 'node:assert/strict'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAliases, refuseOwnMount } from '../../../src/cli/aliases.js'
import { qemuJson } from '../../../src/cli/qemu-json.js'
import { formatReference } from '../../../src/registry/reference.js'
import { parseRootComponent } from '../../../src/tree/component.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

test('an alias can be a local image, which needs one', () => {
  const aliases = parseAliases(['a=oci:/b:v1', 'c=quay.io/d'], 'docker.io')
  assert.deepEqual(
    [...aliases].map(([alias, reference]) => [alias, formatReference(reference)]),
    [
      ['a', 'oci:/b:v1'],
      ['c', 'quay.io/d:latest'],
    ],
  )
  assert.throws(() => parseAliases(['oci:/b:v1'], 'docker.io'), { code: 'INVALID', message: /ALIAS=oci:/ })
})

test('no component of a path is a local image', () => {
  for (const name of [
    'oci:x',
    'dir:1',
    'containers-storage:debian',
    'oci-archive:a.tar',
    'docker-archive:x',
  ]) {
    const component = parseRootComponent(name, new Set())
    assert.equal(component?.kind, 'reference', name)
  }
})

test('a local image inside the mount point is refused', async (t) => {
  const files = await temporaryDirectory(t)
  await mkdir(join(files, 'mount'))
  await symlink(join(files, 'mount'), join(files, 'link'))
  const refused = async (path: string): Promise<void> =>
    refuseOwnMount(parseAliases([`a=dir:${path}`], 'docker.io'), join(files, 'mount'))
  for (const path of [`${files}/mount`, `${files}/mount/x`, `${files}/x/../mount/y`, `${files}/link`])
    await assert.rejects(refused(path), { code: 'INVALID', message: /inside the mount point/ }, path)
  await refused(`${files}/mounted`)
})

test('qemu-img is told the file, the offset and the size', () => {
  assert.equal(
    qemuJson({ path: '/a "b".tar', offset: 1536, size: 42 }),
    'json:{"driver":"raw","offset":1536,"size":512,"file":{"driver":"file","filename":"/a \\"b\\".tar"}}',
  )
})
