import { LRUCache } from 'lru-cache'
import { createSecureContext, type SecureContext } from 'node:tls'
import { describeError, RegistryFsError } from '../../util/errors.js'
import { fileStamp } from '../../util/file-stamp.js'
import type { Logger } from '../../util/log.js'
import { redactText } from '../redact.js'
import type { ConnectionSettings } from '../transport.js'
import {
  certificateDirectory,
  certificateFilesIn,
  certificateRoots,
  certificateStamp,
  type CertificateFiles,
} from './certificate-directories.js'
import { readPem } from './pem-file.js'
import { systemAuthorities, systemAuthorityFiles } from './system-authorities.js'

export interface TrustStoreOptions {
  /** Authorities that count for every host, in addition. */
  readonly caFile?: string | undefined
  /** Undefined: those of podman and docker. */
  readonly certificateRoots?: readonly string[] | undefined
}

export interface Trusted {
  readonly context: SecureContext
  /** Another one each time that files were read anew. */
  readonly version: number
}

interface Known extends Trusted {
  readonly stamp: string
  readonly checkedAt: number
}

/** Certificates are renewed every some weeks; a look at the files costs some stat(2). */
const recheckMs = 5_000
/** Whoever uses the mount can name any host. */
const maxHosts = 1_000

/** Whom to believe, and who to be, at each host. Files are read when the host is first connected to, and when they change. */
export class TrustStore {
  readonly #roots: readonly string[]
  readonly #caFile: string | undefined
  readonly #log: Logger
  readonly #now: () => number
  readonly #known = new LRUCache<string, Known>({ max: maxHosts })
  /** For hosts without files of their own; with the stamp of what it was made from. */
  #usual: { readonly context: SecureContext; readonly stamp: string } | undefined

  constructor(options: TrustStoreOptions, log: Logger, now: () => number = () => performance.now()) {
    this.#roots = options.certificateRoots ?? certificateRoots()
    this.#caFile = options.caFile
    this.#log = log
    this.#now = now
  }

  /**
   * Throws INVALID when a file that counts there is no good. One that was, and is changed, is no reason to fail: certificate
   * and key are never replaced at the same moment, so what was good before counts until all is good again.
   */
  trustedAt(host: string, settings: ConnectionSettings | undefined): Trusted {
    const key = `${host} ${settings?.id ?? ''}`
    const known = this.#known.get(key)
    const checkedAt = this.#now()
    if (known !== undefined && checkedAt - known.checkedAt < recheckMs) return known
    let stamp = ''
    let latest: Trusted
    try {
      const directory = certificateDirectory(this.#roots, directoryNames(host))
      stamp = this.#stampOf(directory, settings)
      latest =
        known?.stamp === stamp
          ? known
          : { context: this.#contextOf(directory, settings), version: (known?.version ?? 0) + 1 }
    } catch (error) {
      if (known === undefined || !(error instanceof RegistryFsError)) throw error
      const reason = describeError(error)
      this.#log.warn({ host, reason }, 'certificates have changed and are no good: those from before count')
      latest = known
    }
    if (known !== undefined && known.version !== latest.version)
      this.#log.info({ host }, 'certificates have changed and were read again')
    this.#known.set(key, { context: latest.context, version: latest.version, stamp, checkedAt })
    return latest
  }

  #contextOf(directory: string | undefined, settings: ConnectionSettings | undefined): SecureContext {
    const found = directory === undefined ? undefined : certificateFilesIn(directory)
    const caFiles = [...(found?.caFiles ?? []), ...(settings?.caFiles ?? [])]
    const clientCertificates = [...(settings?.clientCertificates ?? []), ...(found?.clientCertificates ?? [])]
    if (caFiles.length > 0 || clientCertificates.length > 0)
      return this.#make({ caFiles, clientCertificates })
    const stamp = this.#commonStamp()
    if (this.#usual?.stamp !== stamp)
      this.#usual = { context: this.#make({ caFiles, clientCertificates }), stamp }
    return this.#usual.context
  }

  #make({ caFiles, clientCertificates }: CertificateFiles): SecureContext {
    const ca = [
      ...systemAuthorities(),
      ...[...(this.#caFile === undefined ? [] : [this.#caFile]), ...caFiles].map((path) =>
        readPem(path, 'CERTIFICATE'),
      ),
    ]
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

  #stampOf(directory: string | undefined, settings: ConnectionSettings | undefined): string {
    const own = [
      ...(settings?.caFiles ?? []),
      ...(settings?.clientCertificates ?? []).flatMap(({ certificate, key }) => [certificate, key ?? '']),
    ]
    const found = directory === undefined ? '' : certificateStamp(directory)
    return [this.#commonStamp(), found, ...own.map(fileStamp)].join('\n')
  }

  #commonStamp(): string {
    return [...systemAuthorityFiles(), this.#caFile ?? ''].map(fileStamp).join('\n')
  }
}

/** What a directory for this host may be called; docker.io is another name of its API host. */
function directoryNames(host: string): readonly string[] {
  const names = /:\d+$/.test(host) ? [host] : [host, `${host}:443`]
  return host === 'registry-1.docker.io' ? ['docker.io', ...names] : names
}
