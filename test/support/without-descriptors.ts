import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'

/** Enough for a test, and not so many that taking all of them takes long. */
const limit = 512
let isLimited = false

/** What `work` gives while this process can open nothing more (EMFILE). */
export async function withoutDescriptors<T>(work: () => Promise<T>): Promise<T> {
  if (!isLimited) execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${String(limit)}:`])
  isLimited = true
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
  }
  try {
    return await work()
  } finally {
    for (const descriptor of taken) closeSync(descriptor)
  }
}
