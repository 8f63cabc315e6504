import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** Waits for its end: its status; null after a signal. */
export async function exited(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}
