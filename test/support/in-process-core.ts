import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { defaultConfig, type CoreConfig } from '../../src/config.js'
import { openCore, type Core } from '../../src/mount.js'
import type { Logger } from '../../src/util/log.js'
import { silentLogger } from '../../src/util/log.js'

/** Everything below a mount in this process, without the user's credentials; ended with the test at the latest. */
export async function openTestCore(
  t: TestContext,
  directory: string,
  config: Partial<CoreConfig> = {},
  log: Logger = silentLogger,
): Promise<Core> {
  const authFile = join(directory, 'auth.json')
  await writeFile(authFile, '{}')
  const cacheDirectory = join(directory, 'cache')
  const core = await openCore(
    { ...defaultConfig(), freeReserveBytes: 0, cacheDirectory, authFile, ...config },
    log,
  )
  t.after(async () => core.close())
  return core
}
