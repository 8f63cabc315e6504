import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { packageRoot } from '../../src/util/package-root.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

/** Nobody's: the limit counts all threads of a user. */
const uid = 61_234

/** What the child needs, where that user can read it. */
async function copied(directory: string): Promise<string> {
  await chmod(directory, 0o755)
  for (const path of [
    'package.json',
    'build/src/native.js',
    'build/src/util',
    'build/test/native/thread-limit-child.js',
    'build/test/support/run-pass.js',
    'native/build/Release/registryfs.node',
  ]) {
    await mkdir(join(directory, path, '..'), { recursive: true })
    await cp(join(packageRoot, path), join(directory, path), { recursive: true })
  }
  return join(directory, 'build/test/native/thread-limit-child.js')
}

test(
  'without a thread to be had a pass and a mount fail with the reason, spans are inflated, and all is well later',
  { timeout: 60_000 },
  async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip('only root may be another user')
      return
    }
    const child = spawn(process.execPath, [await copied(await temporaryDirectory(t))], {
      uid,
      gid: uid,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'],
    })
    t.after(() => child.kill('SIGKILL'))
    const exit = once(child, 'exit')
    const { stdin, stdout } = child
    assert.ok(stdin !== null && stdout !== null)
    const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
    const said = async (): Promise<string> => String((await lines.next()).value)
    const limit = (threads: number): void => {
      const args = ['--pid', String(child.pid), `--nproc=${String(threads)}:`]
      assert.equal(spawnSync('prlimit', args, { uid, gid: uid }).status, 0)
    }
    assert.equal(await said(), 'ready')
    limit(1)
    stdin.write('\n')
    const reason = 'Resource temporarily unavailable'
    assert.deepEqual(JSON.parse(await said()), {
      span: 'well',
      pass: `internal: no thread for a first pass (ulimit -u, pids.max): ${reason}`,
      channel: `nobody can read the kernel's requests: ${reason}`,
      threads: 0,
    })
    limit(64)
    stdin.write('\n')
    // Those that inflate spans stay.
    assert.deepEqual(JSON.parse(await said()), { span: 'well', pass: 'end', channel: 'well', threads: 2 })
    stdin.end()
    assert.deepEqual(await exit, [0, null])
  },
)
