import { Command, CommanderError, Option } from 'commander'
import { resolve } from 'node:path'
import type { FuseBinding } from '../fuse/binding.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { parseAliases, refuseOwnMount } from './aliases.js'
import { configOf, coreOptions, type CoreFlags } from './core-options.js'
import { DaemonFailure, isDaemonChild, reportFailed, reportReady, startDaemon } from './daemonize.js'
import { exitCodeOf, exitCodes } from './exit-code.js'
import { LogFile } from './log-file.js'
import { createLogger } from './logger.js'
import { parseMountOptions } from './mount-options.js'
import { reportFailure } from './report-failure.js'
import { parseSize } from './sizes.js'
import { tell } from './tell.js'

interface MountFlags extends CoreFlags {
  readonly materialize?: number
  readonly allowOther?: boolean
  readonly defaultPermissions?: boolean
  readonly noexec?: boolean
  readonly onlyAliases?: boolean
  readonly nonempty?: boolean
  readonly daemon?: boolean
  readonly logFile?: string
  readonly host?: readonly string[]
  readonly source: string
  readonly binding: keyof typeof bindings
  readonly option?: readonly string[]
}

const bindings = {
  native: async () => (await import('../fuse/native-binding.js')).nativeBinding,
  'fuse-native': async () => (await import('../fuse/fuse-native.js')).fuseNativeBinding,
} satisfies Record<string, () => Promise<FuseBinding>>

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** `args`: of the whole program, to be repeated in the daemon. */
export function mountCommand(args: readonly string[] = process.argv.slice(2)): Command {
  return mountOptions(new Command('mount'))
    .description('mount registries: every image a directory, fetched as it is read')
    .argument('<mountpoint>', 'an empty directory')
    .argument('[images...]', '[ALIAS=]REFERENCE: images to show at the top, by alias or by their last name')
    .addHelpText(
      'after',
      `
Without --daemon it stays in the foreground and unmounts on Ctrl-C or SIGTERM; a second one ends it at once.

Examples:
  registryfs mount /mnt/registry
  registryfs mount --daemon /mnt/registry fedora=quay.io/containerdisks/fedora:latest
  /etc/fstab: registryfs /mnt/registry fuse.registryfs ro,allow_other,_netdev,log_file=/var/log/registryfs.log 0 0`,
    )
    .action(async (mountPoint: string, images: readonly string[], _flags: MountFlags, command: Command) => {
      let flags: MountFlags = command.opts()
      try {
        const request = withListedOptions(command)
        flags = request.flags
        await mount(mountPoint, images, request, args)
      } catch (error) {
        await fail(error, flags)
      }
    })
}

function mountOptions(command: Command): Command {
  return coreOptions(command, 'info')
    .option(
      '--materialize <bytes>',
      'files that are read are also kept inflated, each as a file in the cache directory, which may take so much (default: none)',
      parseSize,
    )
    .option('--allow-other', 'other users may look too, as far as modes and owners let them')
    .option(
      '--default-permissions',
      "the kernel checks the files' modes and owners (with --allow-other: always)",
    )
    .option('--only-aliases', 'no other images than those named here can be had')
    .option('--noexec', 'nothing in it may be executed')
    .option('--nonempty', 'mount over a directory that is not empty')
    .option(
      '--host <host>',
      'this name at the top is a registry, however it is spelled (repeatable)',
      collect,
    )
    .option('-d, --daemon', 'go to the background once the mount answers')
    .option('--log-file <file>', 'messages go there')
    .addOption(
      new Option('--binding <name>', 'how to talk to the kernel: by itself, or through libfuse2')
        .choices(Object.keys(bindings))
        .default('native'),
    )
    .addOption(new Option('--source <name>', 'what mount and df show as the device').default('registryfs'))
    .option(
      '-o, --option <list>',
      'the same, written as in /etc/fstab: cache_dir=DIR,image=ALIAS=REFERENCE,…',
      collect,
    )
}

interface Request {
  readonly flags: MountFlags
  /** Named by -o image=. */
  readonly images: readonly string[]
}

/** What -o says counts as if it were said by flags, which win. */
function withListedOptions(command: Command): Request {
  const flags: MountFlags = command.opts()
  if (flags.option === undefined) return { flags, images: [] }
  const listed = parseMountOptions(flags.option, { fromMount: false, sloppy: false })
  const parsed = parseListed(listed.flags)
  const explicit = Object.entries(flags).filter(([name]) => command.getOptionValueSource(name) === 'cli')
  return { flags: { ...parsed.opts<MountFlags>(), ...Object.fromEntries(explicit) }, images: listed.images }
}

/** Throws INVALID with commander's words, in our way of saying them. */
function parseListed(flags: readonly string[]): Command {
  const silent = { writeErr: () => undefined, writeOut: () => undefined }
  const inner = mountOptions(new Command('mount').exitOverride().configureOutput(silent))
  try {
    return inner.parse(flags, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    throw new RegistryFsError('INVALID', `mount options: ${error.message.replace(/^error: /, '')}`)
  }
}

async function mount(
  mountPoint: string,
  words: readonly string[],
  { flags, images }: Request,
  args: readonly string[],
): Promise<void> {
  const given = configOf(flags)
  const materializeBytes = flags.materialize ?? 0
  // A daemon leaves the directory that it was started in.
  const config = { ...given, cacheDirectory: resolve(given.cacheDirectory), materializeBytes }
  const configuredHosts = [
    ...new Set([...config.configuredHosts, ...config.insecureHosts, ...(flags.host ?? [])]),
  ]
  const aliases = parseAliases([...words, ...images], config.defaultHost)
  await refuseOwnMount(aliases, mountPoint)
  if (flags.daemon === true && !isDaemonChild()) {
    if (flags.logFile === undefined) tell('no --log-file: messages of the daemon are lost')
    await startDaemon({ args, logFile: flags.logFile, tell })
    return
  }
  const file = openLog(flags)
  const log = await createLogger({ level: flags.logLevel, format: flags.logFormat, file: file?.descriptor })
  reopenOnSignal(file, log)
  // A daemon that dies takes the mount of everybody with it: a bug costs one request and is told with its stack.
  process.on('unhandledRejection', (err) => {
    log.error({ err }, 'a bug in registryfs: please report it')
  })
  const plan = {
    mountPoint,
    aliases,
    configuredHosts,
    defaultHost: config.defaultHost,
    readDeadlineMs: config.readDeadlineMs,
    source: flags.source,
    allowOther: flags.allowOther ?? false,
    defaultPermissions: (flags.defaultPermissions ?? false) || (flags.allowOther ?? false),
    noExec: flags.noexec ?? false,
    onlyAliases: flags.onlyAliases ?? false,
    passthrough: materializeBytes > 0,
    allowNonEmpty: flags.nonempty ?? false,
  }
  const { openCore } = await import('../mount.js')
  const { runMount } = await import('./run-mount.js')
  let warning: string | undefined
  await runMount(plan, {
    binding: await bindings[flags.binding](),
    openCore: async (resident) => {
      const core = await openCore({ ...config, configuredHosts }, log, resident)
      warning =
        core.readOnlyReason === undefined ? undefined : `nothing new is cached: ${core.readOnlyReason}`
      // Where the log is on stderr it has said so.
      if (warning !== undefined && file !== undefined && !isDaemonChild()) tell(warning)
      return core
    },
    log,
    onReady: async () => {
      if (isDaemonChild()) await reportReady(warning)
      // While nobody waits yet: the first request needs it.
      await import('../registry/undici-parts.js')
    },
    stop: stopSignal(file !== undefined),
  })
  // fuse-native's handles keep the event loop for ever.
  process.exit(exitCodes.ok)
}

async function fail(error: unknown, flags: MountFlags): Promise<never> {
  if (isDaemonChild()) {
    // Its stderr is the log, which may be one of JSON. It is complete when the parent ends.
    const log = await createLogger({ level: flags.logLevel, format: flags.logFormat, file: 2 })
    log.error(error instanceof RegistryFsError ? {} : { err: error }, describeError(error))
    await reportFailed(error)
    process.exit(exitCodeOf(error))
  }
  if (error instanceof DaemonFailure) {
    tell(error.message)
    process.exit(error.exitCode)
  }
  reportFailure(error)
  process.exit(exitCodeOf(error))
}

function openLog({ logFile }: MountFlags): LogFile | undefined {
  if (logFile === undefined) return undefined
  // The daemon leaves the directory that it was started in.
  const path = resolve(logFile)
  return isDaemonChild() ? LogFile.inherited(path) : LogFile.open(path)
}

/** As logrotate(8) asks for it. */
function reopenOnSignal(file: LogFile | undefined, log: Logger): void {
  if (file === undefined) return
  const reopen = (): void => {
    try {
      file.reopen()
    } catch (error) {
      log.error(describeError(error))
    }
  }
  process.on('SIGUSR1', reopen).on('SIGHUP', reopen)
}

/** Aborts at SIGINT, SIGTERM or SIGQUIT (or when the terminal goes away); the second time the process ends on the spot. */
function stopSignal(hasLogFile: boolean): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted)
    controller.abort()
  }
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGQUIT', stop)
  process.on('SIGHUP', isDaemonChild() || hasLogFile ? () => undefined : stop)
  return controller.signal
}
