import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { storageRoots } from '../../../src/local/storage-conf.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

test('where images are is what the first storage.conf says, and its additional stores', async (t) => {
  const home = await temporaryDirectory(t)
  const [system, named] = [join(home, 'system.conf'), join(home, 'named.conf')]
  const roots = async (uid: number, env: Record<string, string> = {}): Promise<readonly string[]> =>
    storageRoots({ isRoot: uid === 0, uid, home, env, systemFiles: [system] })
  assert.deepEqual(await roots(0), ['/var/lib/containers/storage'])
  assert.deepEqual(await roots(7), [join(home, '.local/share/containers/storage')])
  assert.deepEqual(await roots(7, { XDG_DATA_HOME: '/data' }), ['/data/containers/storage'])

  await writeFile(
    system,
    `[storage]
    driver = "overlay"
    graphroot = "/srv/images"
    rootless_storage_path = "/srv/$UID/images"
    [storage.options]
    additionalimagestores = ["/usr/lib/images", "relative", 5]`,
  )
  assert.deepEqual(await roots(0), ['/srv/images', '/usr/lib/images'])
  assert.deepEqual(await roots(7), ['/srv/7/images', '/usr/lib/images'])

  await mkdir(join(home, '.config/containers'), { recursive: true })
  await writeFile(join(home, '.config/containers/storage.conf'), '[storage]\ngraphroot = "$HOME/images"')
  assert.deepEqual(await roots(0), ['/srv/images', '/usr/lib/images'], 'a file of a user is not root’s')
  assert.deepEqual(await roots(7), [join(home, 'images')])

  const env = { CONTAINERS_STORAGE_CONF: named }
  await writeFile(named, '[storage]\ngraphroot = "/named"')
  assert.deepEqual(await roots(0, env), ['/named'])
  await writeFile(named, '[storage\n')
  await assert.rejects(roots(0, env), { code: 'CORRUPT', message: /named\.conf: / })
})
