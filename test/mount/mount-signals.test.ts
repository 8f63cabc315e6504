import assert from 'node:assert/strict'
import { readFile, rename, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../../src/fuse/mountinfo.js'
import { emptyMountPoint, mounted, output, run, type Mounted } from '../support/mounted.js'
import { program } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

// No test here needs a registry: a mount starts without one.
const options = { timeout: 60_000 }

async function foreground(t: TestContext, ...args: string[]): Promise<Mounted> {
  return mounted(t, { command: [program, 'mount', '--cache-dir', await temporaryDirectory(t), ...args] })
}

/** Port of Node's inspector. */
async function inspectorAnswers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(9229, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}

/** A signal has been dealt with once this was, which came later. */
async function answers(mount: Mounted): Promise<void> {
  await output('ls', '-A', mount.path)
  await sleep(300)
  await output('cat', join(mount.path, '.registryfs/status.json'))
}

async function has(path: string, text: string): Promise<void> {
  for (let times = 0; !(await readFile(path, 'utf8').catch(() => '')).includes(text); times++) {
    assert.ok(times < 600, `${path} does not get ${text}`)
    await sleep(50)
  }
}

test('no signal opens the inspector, or ends the daemon and leaves its mount', options, async (t) => {
  const wasThere = await inspectorAnswers()
  const mount = await foreground(t)
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const) {
    mount.signal(signal)
    await answers(mount)
  }
  assert.equal(await inspectorAnswers(), wasThere)
  assert.doesNotMatch(mount.log(), /[Dd]ebugger/)
  mount.signal('SIGQUIT')
  assert.equal(await mount.exited, 0)
  assert.equal(findMount(mount.path), undefined)
})

test('SIGHUP ends a mount that has a terminal and no log file', options, async (t) => {
  const mount = await foreground(t)
  mount.signal('SIGHUP')
  assert.equal(await mount.exited, 0)
  assert.equal(findMount(mount.path), undefined)
})

for (const format of ['json', 'pretty']) {
  test(`SIGHUP and SIGUSR1 go on in a new log file: ${format}`, options, async (t) => {
    const files = await temporaryDirectory(t)
    const log = join(files, 'log')
    const mount = await foreground(t, '--log-file', log, '--log-format', format)
    await has(log, 'mounted')
    for (const [i, signal] of (['SIGHUP', 'SIGUSR1'] as const).entries()) {
      await rename(log, `${log}.${String(i)}`)
      mount.signal(signal)
      await answers(mount)
      assert.ok((await stat(log)).isFile())
    }
    assert.equal(await mount.stop(), 0)
  })
}

test('the log file of a daemon can be rotated', options, async (t) => {
  const path = await emptyMountPoint(t)
  const files = await temporaryDirectory(t)
  const log = join(files, 'log')
  const args = ['mount', '--daemon', '--log-file', log, '--cache-dir', join(files, 'cache'), path]
  const ran = await run(process.execPath, [program, ...args])
  assert.deepEqual([ran.code, ran.stderr], [0, ''])
  await has(log, 'mounted')
  const status = JSON.parse(await output('cat', join(path, '.registryfs/status.json'))) as { pid: number }
  await rename(log, `${log}.1`)
  process.kill(status.pid, 'SIGHUP')
  for (let times = 0; (await stat(log).catch(() => undefined)) === undefined; times++) {
    assert.ok(times < 600, 'no new log file')
    await sleep(50)
  }
  const before = await readFile(`${log}.1`, 'utf8')
  await output('umount', path)
  await has(log, 'the mount is gone')
  assert.equal(await readFile(`${log}.1`, 'utf8'), before)
  assert.match(before, /mounted/)
})
