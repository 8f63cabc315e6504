import { spawn } from 'node:child_process'
import { RegistryFsError } from '../../util/errors.js'
import { isObject } from '../json-object.js'
import type { Credential } from './credential.js'

const maximumBytes = 1024 * 1024
/** What helpers print when they have nothing (docker-credential-helpers, credentials/error.go). */
const notFoundPattern = /credentials not found|no credentials server url/i

/**
 * Asks `docker-credential-<name> get` for `server`. Undefined: it has none. Throws INVALID when there is no such program or
 * it fails, TIMEOUT when it takes longer than `deadlineMs`; what it printed may be secret and is in no error.
 */
export async function askHelper(
  name: string,
  server: string,
  deadlineMs: number,
): Promise<Credential | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw new RegistryFsError('INVALID', `${JSON.stringify(name.slice(0, 80))} is no name of a helper`)
  const program = `docker-credential-${name}`
  const { output, status } = await run(program, server, deadlineMs)
  if (status !== 0) {
    if (notFoundPattern.test(output)) return undefined
    throw new RegistryFsError('INVALID', `${program} get failed for ${server} (status ${String(status)})`)
  }
  const answer = parseAnswer(output)
  if (answer === undefined)
    throw new RegistryFsError('INVALID', `${program} get: no credentials in its answer`)
  const { username, secret } = answer
  if (username === '' && secret === '') return undefined
  return { username, password: secret, isIdentityToken: username === '<token>' }
}

async function run(
  program: string,
  server: string,
  deadlineMs: number,
): Promise<{ output: string; status: number }> {
  return new Promise((resolve, reject) => {
    // A group of its own: a helper that is a script dies together with what it runs.
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
    const chunks: Buffer[] = []
    let bytes = 0
    const giveUp = (error: RegistryFsError): void => {
      clearTimeout(timer)
      child.stdout.destroy()
      if (child.pid !== undefined && child.exitCode === null) killGroup(child.pid)
      reject(error)
    }
    const timer = setTimeout(() => {
      const seconds = String(deadlineMs / 1000)
      giveUp(new RegistryFsError('TIMEOUT', `${program} get gave no answer in ${seconds} s`))
    }, deadlineMs)
    child.on('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'ENOENT' ? 'is not installed' : `cannot be run (${error.code ?? '?'})`
      giveUp(new RegistryFsError('INVALID', `${program} ${reason}`))
    })
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > maximumBytes) giveUp(new RegistryFsError('LIMIT', `${program} get: the answer is too long`))
      else chunks.push(chunk)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ output: Buffer.concat(chunks).toString('utf8'), status: status ?? -1 })
    })
    // It may end without reading.
    child.stdin.on('error', () => undefined)
    child.stdin.end(server)
  })
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

function parseAnswer(output: string): { username: string; secret: string } | undefined {
  try {
    const answer: unknown = JSON.parse(output)
    if (!isObject(answer)) return undefined
    const { Username: username, Secret: secret } = answer
    return typeof username === 'string' && typeof secret === 'string' ? { username, secret } : undefined
  } catch {
    return undefined
  }
}
