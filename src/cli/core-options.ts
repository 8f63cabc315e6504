import { setMaxListeners } from 'node:events'
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { defaultConfig, inflaters, type CoreConfig, type Inflater } from '../config.js'
import type { Image } from '../image/image.js'
import type { UncheckedTag } from '../image/image-store.js'
import type { Core } from '../mount.js'
import { parsePlatform } from '../registry/platform.js'
import { parseLocalReference } from '../registry/local-reference.js'
import { formatReference, parseReference, type Reference } from '../registry/reference.js'
import type { ReadOptions } from '../util/abort.js'
import { checkOptions } from './check-options.js'
import { createLogger, logFormats, logLevels } from './logger.js'
import { reportFailure } from './report-failure.js'
import { parseDuration, parseSize } from './sizes.js'
import { tell } from './tell.js'

/** What every command that touches images takes. */
export interface CoreFlags {
  readonly cacheDir?: string
  readonly cacheSize?: number
  readonly freeReserve?: number
  readonly memory?: number
  readonly inflate?: Inflater
  readonly registry?: string
  readonly insecure?: readonly string[]
  readonly authfile?: string
  readonly caFile?: string
  readonly registriesConf?: string
  readonly hostsDir?: string
  readonly platform?: string
  readonly readDeadline?: number
  readonly stall?: number
  readonly tagTtl?: number
  readonly logLevel: (typeof logLevels)[number]
  readonly logFormat: (typeof logFormats)[number]
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** `logLevel`: a command says what went wrong in one line of its own, and logs only when asked; a mount tells what it does. */
export function coreOptions(command: Command, logLevel: CoreFlags['logLevel'] = 'silent'): Command {
  return command
    .option(
      '--cache-dir <dir>',
      'chunks and indexes are kept there (default: $XDG_CACHE_HOME/registryfs, as root /var/cache/registryfs)',
    )
    .option('--cache-size <bytes>', 'most that the chunks may take on disk (default: 10G)', parseSize)
    .option('--free-reserve <bytes>', 'so much of the disk is left free (default: 1G)', parseSize)
    .option('--memory <bytes>', 'budget for chunks and inflated spans in memory (default: 256M)', parseSize)
    .addOption(
      new Option(
        '--inflate <with>',
        "of gzip layers: with our own decoder, or with Node's zlib (default: own)",
      ).choices(inflaters),
    )
    .option('--registry <host>', 'registry of names without one (default: docker.io)')
    .option(
      '--insecure <host>',
      'TLS of this registry is not verified, and plain http allowed (repeatable)',
      collect,
    )
    .option(
      '--authfile <file>',
      "credentials, instead of podman's and docker's files (default: $REGISTRY_AUTH_FILE)",
    )
    .option('--ca-file <file>', 'certificate authorities to trust at every registry, in PEM')
    .option(
      '--registries-conf <file>',
      "mirrors and prefixes (default: podman's, ~/.config or /etc/containers/registries.conf and .d)",
    )
    .option(
      '--hosts-dir <dir>',
      "mirrors in containerd's hosts.toml files (default: /etc/containerd/certs.d)",
    )
    .option('--platform <os/arch>', "of multi-platform images (default: the host's)")
    .option(
      '--read-deadline <time>',
      'a read that needs the registry fails after this (default: 60s)',
      parseDuration,
    )
    .option(
      '--stall <time>',
      'a connection that sends nothing for so long is given up (default: 20s)',
      parseDuration,
    )
    .option('--tag-ttl <time>', 'a tag is checked again after this (default: 60s)', parseDuration)
    .addOption(
      new Option('--log-level <level>', 'of messages on stderr').choices(logLevels).default(logLevel),
    )
    .addOption(
      new Option('--log-format <format>', 'auto: pretty on a terminal').choices(logFormats).default('auto'),
    )
}

/** Throws INVALID. */
export function configOf(flags: CoreFlags): CoreConfig {
  checkOptions(flags)
  const base = defaultConfig()
  return {
    ...base,
    cacheDirectory: flags.cacheDir ?? base.cacheDirectory,
    cacheBytes: flags.cacheSize ?? base.cacheBytes,
    freeReserveBytes: flags.freeReserve ?? base.freeReserveBytes,
    memoryBytes: flags.memory ?? base.memoryBytes,
    inflate: flags.inflate ?? base.inflate,
    defaultHost: flags.registry ?? base.defaultHost,
    insecureHosts: flags.insecure ?? base.insecureHosts,
    authFile: flags.authfile === undefined ? base.authFile : resolve(flags.authfile),
    caFile: absolute(flags.caFile),
    registriesConf: absolute(flags.registriesConf),
    hostsDirectory: absolute(flags.hostsDir) ?? base.hostsDirectory,
    platform: flags.platform === undefined ? base.platform : parsePlatform(flags.platform),
    readDeadlineMs: flags.readDeadline ?? base.readDeadlineMs,
    stallMs: flags.stall ?? base.stallMs,
    tagTtlMs: flags.tagTtl ?? base.tagTtlMs,
  }
}

/** A daemon leaves the directory that it was started in. */
function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path)
}

export interface CommandCore extends Core {
  parseReference(text: string): Reference
  /** Says on stderr when it may not be what the registry has by now. Throws INVALID, and what ImageStore.open throws. */
  openImage(reference: string | Reference, options: ReadOptions): Promise<Image>
}

/**
 * Runs a command that needs no mount: opens the core, closes it whatever happens, prints a failure in one line on
 * stderr and sets the exit status. SIGINT and SIGTERM abort the signal.
 */
export async function withCore(
  flags: CoreFlags,
  work: (core: CommandCore, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  // A recursive listing waits in as many places as there are directories.
  setMaxListeners(0, controller.signal)
  const stop = (): void => {
    controller.abort()
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  let core: Core | undefined
  let opened: string | undefined
  try {
    const config = configOf(flags)
    const log = await createLogger({ level: flags.logLevel, format: flags.logFormat })
    const { openCore } = await import('../mount.js')
    core = await openCore(config, log)
    const parse = (text: string): Reference =>
      parseLocalReference(text) ?? parseReference(text, { defaultHost: config.defaultHost })
    const { images } = core
    // Who only reads is used to another process that writes there, and where there is a log it has said so.
    let readOnlyReason = core.isCacheInUse || hasLog(flags) ? undefined : core.readOnlyReason
    const openImage: CommandCore['openImage'] = async (reference, options) => {
      const parsed = typeof reference === 'string' ? parse(reference) : reference
      if (readOnlyReason !== undefined) tell(`nothing new is cached: ${readOnlyReason}`)
      readOnlyReason = undefined
      const image = await images.open(parsed, options)
      // Two tags of one image are two names of it.
      opened = formatReference(parsed)
      for (const tag of images.unchecked()) if (tag.reference === opened) tellUnchecked(tag)
      return image
    }
    await work({ ...core, parseReference: parse, openImage }, controller.signal)
  } catch (error) {
    reportFailure(error, opened)
  } finally {
    await core?.close()
    process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop)
  }
}

function hasLog({ logLevel }: CoreFlags): boolean {
  return logLevel !== 'silent' && logLevel !== 'error'
}

function tellUnchecked({ reference, reason, since }: UncheckedTag): void {
  const when = since === undefined ? 'before' : `at ${since.toISOString()}`
  tell(`${reference}: using the tag as it was ${when}: ${reason}`)
}
