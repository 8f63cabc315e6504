import { spawn, type ChildProcess } from 'node:child_process'
import { readlink } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

/** Starts `COMMAND PATH`, and waits until it has the path open, or has ended. */
export async function waitingReader(t: TestContext, command: string, path: string): Promise<ChildProcess> {
  const child = spawn(command, [path], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  while (child.exitCode === null && child.signalCode === null) {
    if ((await readlink(`/proc/${String(child.pid)}/fd/3`).catch(() => '')) === path) break
    await sleep(2)
  }
  // And into its read.
  await sleep(5)
  return child
}
