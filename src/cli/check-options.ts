import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { isHost } from '../registry/reference.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import { formatBytes } from '../util/range.js'

export interface CheckableOptions {
  readonly caFile?: string | undefined
  readonly hostsDir?: string | undefined
  readonly memory?: number | undefined
  readonly readDeadline?: number | undefined
  readonly stall?: number | undefined
  readonly registry?: string | undefined
  readonly insecure?: readonly string[] | undefined
  readonly host?: readonly string[] | undefined
}

/** Less is less than one chunk, and of no use to anybody. */
const leastMemoryBytes = 1 << 20

/** What would else show itself at the first read, or never. Throws INVALID. */
export function checkOptions(options: CheckableOptions): void {
  const { caFile, hostsDir, memory, readDeadline, stall } = options
  if (caFile !== undefined) checkCertificates(caFile)
  if (hostsDir !== undefined) checkDirectory(hostsDir)
  if (memory !== undefined && memory < leastMemoryBytes)
    throw invalid(
      '--memory',
      `${formatBytes(memory)} is too little: ${formatBytes(leastMemoryBytes)} at least`,
    )
  if (readDeadline === 0) throw invalid('--read-deadline', 'nothing can be read in no time')
  if (stall === 0) throw invalid('--stall', 'no connection is that fast')
  const named = {
    '--registry': [options.registry ?? 'docker.io'],
    '--insecure': options.insecure,
    '--host': options.host,
  }
  for (const [option, hosts = []] of Object.entries(named))
    for (const host of hosts)
      if (!isHost(host)) throw invalid(option, `${JSON.stringify(withoutUser(host))} is no host`)
}

/** Somebody may have put a password there. */
function withoutUser(text: string): string {
  return text.slice(text.lastIndexOf('@') + 1)
}

function checkCertificates(path: string): void {
  try {
    new X509Certificate(readFileSync(path))
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const isOfFile = /^E[A-Z]+$/.test(code)
    throw invalid('--ca-file', isOfFile ? describeError(error) : `${path} holds no certificate in PEM`)
  }
}

function checkDirectory(path: string): void {
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory()
  if (isDirectory !== true)
    throw invalid(
      '--hosts-dir',
      isDirectory === undefined ? `${path} does not exist` : `${path} is not a directory`,
    )
}

function invalid(option: string, reason: string): RegistryFsError {
  return new RegistryFsError('INVALID', `${option}: ${reason}`)
}
