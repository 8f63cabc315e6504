import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext } from 'node:test'

/** Those that a daemon was still writing to. */
const left: string[] = []

after(async () => {
  for (const path of left) await rm(path, { recursive: true, force: true })
})

/** A directory that is gone when the test has ended; at the latest with the tests of its file. */
export async function temporaryDirectory(test: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'registryfs-test-'))
  test.after(async () => rm(path, { recursive: true, force: true }).catch(() => left.push(path)))
  return path
}
