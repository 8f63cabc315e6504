import { statSync } from 'node:fs'
import { join } from 'node:path'
import { fileStamp } from '../../util/file-stamp.js'
import { certificateFilesIn } from '../tls/certificate-directories.js'
import { parseHostsFile, type HostsFile } from './hosts-toml.js'
import { readTomlFile } from './toml-file.js'

/**
 * containerd's certs.d: `<host>_<port>_`, `<host:port>`, then `_default`; the first directory that is there counts, with its
 * hosts.toml, else with its certificates (containerd core/remotes/docker/config/hosts.go). Throws INVALID.
 */
export function loadHostsDirectory(root: string, host: string, defaultServer: string): HostsFile | undefined {
  const directory = directoryOf(root, host)
  if (directory === undefined) return undefined
  const path = join(directory, 'hosts.toml')
  const document = readTomlFile(path)
  if (document !== undefined) return parseHostsFile(document, defaultServer)
  const found = certificateFilesIn(directory)
  if (found === undefined || found.caFiles.length + found.clientCertificates.length === 0) return undefined
  const { origin } = new URL(defaultServer)
  const connection = { headers: {}, skipVerify: false, connectTimeoutMs: undefined }
  return {
    server: {
      base: new URL('/v2/', origin),
      resolves: true,
      pulls: true,
      connection: { ...connection, ...found, id: directory, origin },
    },
    hosts: [],
  }
}

/** Another text whenever `loadHostsDirectory` may give something else; what certificates hold is looked at elsewhere. */
export function hostsStamp(root: string, host: string): string {
  const directory = directoryOf(root, host)
  if (directory === undefined) return ''
  return [directory, fileStamp(directory), fileStamp(join(directory, 'hosts.toml'))].join(' ')
}

function directoryOf(root: string, host: string): string | undefined {
  return namesOf(host)
    .map((name) => join(root, name))
    .find(isDirectory)
}

function namesOf(host: string): readonly string[] {
  const colon = /^(.+):(\d+)$/.exec(host)
  const underscored = colon === null ? [] : [`${colon[1] ?? ''}_${colon[2] ?? ''}_`]
  return [...underscored, host, '_default']
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
