import { createSecureContext, type SecureContext } from 'node:tls'
import { RegistryFsError } from '../../util/errors.js'
import { redactText } from '../redact.js'
import type { ConnectionSettings } from '../transport.js'
import { certificateRoots, findCertificateFiles, type CertificateFiles } from './certificate-directories.js'
import { readPem } from './pem-file.js'
import { systemAuthorities } from './system-authorities.js'

export interface TrustStoreOptions {
  /** Authorities that count for every host, in addition. */
  readonly caFile?: string | undefined
  /** Undefined: those of podman and docker. */
  readonly certificateRoots?: readonly string[] | undefined
}

/** Whom to believe, and who to be, at each host. Files are read when the host is first connected to. */
export class TrustStore {
  readonly #roots: readonly string[]
  readonly #caFile: string | undefined
  #common: readonly string[] | undefined
  #usual: SecureContext | undefined

  constructor(options: TrustStoreOptions = {}) {
    this.#roots = options.certificateRoots ?? certificateRoots()
    this.#caFile = options.caFile
  }

  /** Throws INVALID when a file that counts there is no good. */
  contextOf(host: string, settings: ConnectionSettings | undefined): SecureContext {
    const found = findCertificateFiles(this.#roots, directoryNames(host))
    const caFiles = [...(found?.caFiles ?? []), ...(settings?.caFiles ?? [])]
    const clientCertificates = [...(settings?.clientCertificates ?? []), ...(found?.clientCertificates ?? [])]
    if (caFiles.length > 0 || clientCertificates.length > 0)
      return this.#make({ caFiles, clientCertificates })
    this.#usual ??= this.#make({ caFiles, clientCertificates })
    return this.#usual
  }

  #make({ caFiles, clientCertificates }: CertificateFiles): SecureContext {
    this.#common ??= [
      ...systemAuthorities(),
      ...(this.#caFile === undefined ? [] : [readPem(this.#caFile, 'CERTIFICATE')]),
    ]
    const ca = [...this.#common, ...caFiles.map((path) => readPem(path, 'CERTIFICATE'))]
    const cert = clientCertificates.map(({ certificate }) => readPem(certificate, 'CERTIFICATE'))
    const key = clientCertificates.map(({ certificate, key: path }) =>
      readPem(path ?? certificate, 'PRIVATE KEY'),
    )
    try {
      return createSecureContext({ ca, ...(cert.length === 0 ? {} : { cert, key }) })
    } catch (error) {
      const files = [...caFiles, ...clientCertificates.map(({ certificate }) => certificate)]
      const reason = error instanceof Error ? redactText(error.message, 120) : 'unknown error'
      throw new RegistryFsError(
        'INVALID',
        `these certificates or their keys are no good: ${[...files, this.#caFile ?? ''].join(' ').trim()} (${reason})`,
      )
    }
  }
}

/** What a directory for this host may be called; docker.io is another name of its API host. */
function directoryNames(host: string): readonly string[] {
  const names = /:\d+$/.test(host) ? [host] : [host, `${host}:443`]
  return host === 'registry-1.docker.io' ? ['docker.io', ...names] : names
}
