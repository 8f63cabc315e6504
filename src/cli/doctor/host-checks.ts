import { accessSync, constants, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { CacheDirectory } from '../../blob/cache-directory.js'
import type { CoreConfig } from '../../config.js'
import { checkFuseDevice } from '../../fuse/fuse-device.js'
import { loadFuseNative } from '../../fuse/fuse-native-library.js'
import { crc32 } from '../../native.js'
import { describeError, hasCode } from '../../util/errors.js'
import { formatBytes } from '../../util/range.js'
import { exitCodes } from '../exit-code.js'
import { silentLogger } from '../../util/log.js'
import type { Findings } from './findings.js'

/** Whether this machine can mount and cache. */
export async function checkHost(config: CoreConfig, findings: Findings): Promise<void> {
  checkAddon(findings)
  await checkDevice(findings)
  checkFusermount(findings)
  checkAllowOther(findings)
  checkLibfuse(findings)
  await checkCache(config, findings)
}

function checkAddon(findings: Findings): void {
  try {
    // The check value of CRC-32/ISO-HDLC.
    if (crc32(Buffer.from('123456789')) === 0xcbf43926)
      findings.ok('addon', 'the native addon loads and computes')
    else findings.fail('addon', 'the native addon computes wrong', 'make clean build', exitCodes.host)
  } catch (error) {
    findings.fail('addon', describeError(error), 'make build', exitCodes.host)
  }
}

async function checkDevice(findings: Findings): Promise<void> {
  try {
    await checkFuseDevice(false)
    findings.ok('/dev/fuse', 'can be opened')
  } catch (error) {
    findings.fail(
      '/dev/fuse',
      describeError(error),
      'without it there are no mounts; ls, cat and index work',
      exitCodes.host,
    )
  }
}

function checkFusermount(findings: Findings): void {
  const found = findProgram('fusermount3')
  if (found !== undefined) findings.ok('fusermount3', found)
  else if (process.getuid?.() === 0) findings.info('fusermount3', 'not there; root does without it')
  else
    findings.fail(
      'fusermount3',
      'not there, and only root mounts without it',
      'apt-get install fuse3',
      exitCodes.host,
    )
}

function findProgram(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin']
  return directories
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

function checkAllowOther(findings: Findings): void {
  const check = 'user_allow_other'
  let text = ''
  try {
    text = readFileSync('/etc/fuse.conf', 'utf8')
  } catch {
    // As if it were empty.
  }
  if (/^\s*user_allow_other\s*$/m.test(text)) findings.ok(check, 'set in /etc/fuse.conf')
  else if (process.getuid?.() === 0)
    findings.info(check, 'not set in /etc/fuse.conf; root may use --allow-other anyway')
  else
    findings.warn(
      check,
      'not set in /etc/fuse.conf: --allow-other will be refused',
      'as root: echo user_allow_other >>/etc/fuse.conf, if other users shall see your mounts',
    )
}

function checkLibfuse(findings: Findings): void {
  try {
    loadFuseNative()
    findings.info('libfuse2', 'there, for --binding fuse-native')
  } catch (error) {
    findings.info('libfuse2', `${describeError(error)} (only --binding fuse-native needs it)`)
  }
}

async function checkCache(config: CoreConfig, findings: Findings): Promise<void> {
  const { path, readOnlyReason, isInUse } = await CacheDirectory.open(config.cacheDirectory, silentLogger)
  if (readOnlyReason === undefined) findings.ok('cache directory', `${path} can be written to`)
  else if (isInUse)
    findings.warn(
      'cache directory',
      readOnlyReason,
      'a second mount reads it only; --cache-dir gives it its own',
    )
  else findings.warn('cache directory', readOnlyReason, 'nothing will be kept; name another with --cache-dir')
  try {
    const { bavail, bsize } = await statfs(path)
    const free = bavail * bsize
    const text = `${formatBytes(free)} free, ${formatBytes(config.freeReserveBytes)} of it left alone, ${formatBytes(config.cacheBytes)} used at most`
    if (free > config.freeReserveBytes) findings.ok('cache space', text)
    else
      findings.warn(
        'cache space',
        `${text}: nothing more will be cached`,
        'free some, or set --cache-dir or --free-reserve',
      )
  } catch (error) {
    if (!hasCode(error))
      findings.warn('cache space', describeError(error), 'name another directory with --cache-dir')
  }
}
