import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { RegistryFsError } from '../../util/errors.js'
import { fileStamp } from '../../util/file-stamp.js'
import type { ClientCertificateFiles } from '../transport.js'

/** PEM files that count for one host. */
export interface CertificateFiles {
  readonly caFiles: readonly string[]
  readonly clientCertificates: readonly ClientCertificateFiles[]
}

/** In podman's order: the first that has a directory for the host is the one that counts. */
export function certificateRoots(): readonly string[] {
  const { XDG_CONFIG_HOME: configHome } = process.env
  const config = configHome?.startsWith('/') === true ? configHome : join(homedir(), '.config')
  return [join(config, 'containers/certs.d'), '/etc/containers/certs.d', '/etc/docker/certs.d']
}

/** The first `<root>/<host[:port]>/` that is there (containers-certs.d(5)). Throws INVALID. */
export function certificateDirectory(roots: readonly string[], names: readonly string[]): string | undefined {
  const directories = roots.flatMap((root) => names.map((name) => join(root, name)))
  return directories.find((directory) => list(directory) !== undefined)
}

/** Another text whenever `certificateFilesIn` may give something else, or other content in the same files. */
export function certificateStamp(directory: string): string {
  const files = (list(directory) ?? []).filter((file) => /\.(crt|cert|key)$/.test(file)).sort()
  return files.map((file) => `${file} ${fileStamp(join(directory, file))}`).join('\n')
}

/** `*.crt` are authorities, `x.cert` and `x.key` ours. Undefined where there is no such directory. Throws INVALID for half of one. */
export function certificateFilesIn(directory: string): CertificateFiles | undefined {
  const files = list(directory)
  if (files === undefined) return undefined
  const ending = (suffix: string): readonly string[] => files.filter((file) => file.endsWith(suffix)).sort()
  const certificates = ending('.cert')
  for (const key of ending('.key')) {
    if (!certificates.includes(key.replace(/\.key$/, '.cert')))
      throw invalid(directory, `${key} has no certificate beside it (${key.replace(/\.key$/, '.cert')})`)
  }
  return {
    caFiles: ending('.crt').map((file) => join(directory, file)),
    clientCertificates: certificates.map((file) => {
      const key = file.replace(/\.cert$/, '.key')
      if (!files.includes(key))
        throw invalid(directory, `${file} has no key beside it (${key}); authorities are called *.crt`)
      return { certificate: join(directory, file), key: join(directory, key) }
    }),
  }
}

function list(directory: string): readonly string[] | undefined {
  try {
    return readdirSync(directory)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
    throw invalid(directory, `cannot be read (${code ?? 'unknown error'})`)
  }
}

function invalid(directory: string, reason: string): RegistryFsError {
  return new RegistryFsError('INVALID', `${directory}: ${reason}`)
}
