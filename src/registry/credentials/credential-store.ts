/**
 * Where credentials come from: podman's and docker's files, first file with a hit wins, in a file the most specific key.
 * Nothing is asked for before a registry has refused to answer without. Files are looked at again each time, for users log
 * in and out while a mount runs; what a helper program gave is believed for a minute, or until it is refused.
 */
import { LRUCache } from 'lru-cache'
import { describeError, RegistryFsError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { SingleFlight } from '../../util/single-flight.js'
import type { Repository } from '../reference.js'
import type { AuthFile } from './auth-file.js'
import type { AuthFilePath } from './auth-file-paths.js'
import type { Credential, FoundCredential } from './credential.js'
import { askHelper } from './credential-helper.js'
import { helperServer, keysOf } from './registry-key.js'
import { WatchedAuthFile } from './watched-auth-file.js'

export interface CredentialStoreOptions {
  readonly files: readonly AuthFilePath[]
  readonly log: Logger
  readonly helperDeadlineMs?: number
}

export interface FindCredentialOptions {
  /** What is remembered was refused: ask the programs anew. */
  readonly isFresh?: boolean
}

/** Some ask a service in the cloud. */
const defaultHelperDeadlineMs = 15_000
const believed = { max: 1000, ttl: 60_000 }

export class CredentialStore {
  readonly #files: readonly WatchedAuthFile[]
  readonly #log: Logger
  readonly #helperDeadlineMs: number
  readonly #answers = new LRUCache<string, FoundCredential>(believed)
  readonly #asking = new SingleFlight<string, FoundCredential>()
  /** Each problem is told once. */
  readonly #told = new LRUCache<string, true>({ max: 100 })

  constructor(options: CredentialStoreOptions) {
    this.#files = options.files.map((file) => new WatchedAuthFile(file))
    this.#log = options.log
    this.#helperDeadlineMs = options.helperDeadlineMs ?? defaultHelperDeadlineMs
  }

  /** Throws INVALID when a file that the user named cannot be used. */
  async check(): Promise<void> {
    for (const file of this.#files) if (file.isRequired) await file.load()
  }

  /** Never throws: what cannot be read is a problem of whoever is then refused. */
  async find(repository: Repository, options: FindCredentialOptions = {}): Promise<FoundCredential> {
    const problems: string[] = []
    for (const file of this.#files) {
      const found = await this.#findIn(file, repository, options)
      if (found.credential !== undefined) return found
      if (found.problem !== undefined) problems.push(found.problem)
    }
    return problems.length === 0 ? {} : { problem: problems.join('; ') }
  }

  async #findIn(
    file: WatchedAuthFile,
    repository: Repository,
    options: FindCredentialOptions,
  ): Promise<FoundCredential> {
    let content: AuthFile | undefined
    try {
      content = await file.load()
    } catch (error) {
      return this.#problem(error)
    }
    if (content === undefined) return {}
    const problems: string[] = []
    const withProblems = (found: FoundCredential): FoundCredential => {
      if (found.credential !== undefined || problems.length === 0) return found
      return { problem: [...problems, ...(found.problem === undefined ? [] : [found.problem])].join('; ') }
    }
    for (const key of keysOf(repository)) {
      const helper = content.helpers.get(key)
      if (helper !== undefined)
        return withProblems(await this.#ask(helper, serverOf(key, repository), options))
      const credential: Credential | undefined = content.credentials.get(key)
      if (credential !== undefined) return { credential }
      const problem = content.broken.get(key)
      if (problem !== undefined) problems.push(this.#tell(problem))
    }
    if (content.store === undefined) return withProblems({})
    return withProblems(await this.#ask(content.store, helperServer(repository.host), options))
  }

  async #ask(name: string, server: string, { isFresh }: FindCredentialOptions): Promise<FoundCredential> {
    const key = `${name} ${server}`
    if (isFresh === true) this.#answers.delete(key)
    const known = this.#answers.get(key)
    if (known !== undefined) return known
    return this.#asking.run(key, async () => {
      const found = await askHelper(name, server, this.#helperDeadlineMs).then(
        (credential) => ({ credential }),
        (error: unknown) => this.#problem(error),
      )
      this.#answers.set(key, found)
      return found
    })
  }

  #problem(error: unknown): FoundCredential {
    if (!(error instanceof RegistryFsError)) throw error
    return { problem: this.#tell(describeError(error)) }
  }

  #tell(problem: string): string {
    if (!this.#told.has(problem)) this.#log.warn({ reason: problem }, 'credentials cannot be had')
    this.#told.set(problem, true)
    return problem
  }
}

/** Helpers are asked for the key as it is in the file: a host, or a namespace of one. */
function serverOf(key: string, repository: Repository): string {
  return key.includes('/') ? key : helperServer(repository.host)
}
