import { RegistryFsError } from '../util/errors.js'
import { commands } from './commands.js'
import { exitCodes } from './exit-code.js'
import { parseMountOptions } from './mount-options.js'

export interface HelperCall {
  /** Arguments of `registryfs mount`; undefined: mount -f, nothing is to be done. */
  readonly mountArguments: readonly string[] | undefined
}

/**
 * True for mount(8)'s call of /sbin/mount.fuse.registryfs, a symlink to us, and for mount.fuse's, which finds us in PATH:
 * `registryfs SOURCE MOUNTPOINT -o OPTIONS`.
 */
export function isMountHelperCall(invokedAs: string, args: readonly string[]): boolean {
  if (/^mount\.(fuse\.)?registryfs$/.test(invokedAs)) return true
  const [source, mountPoint, option] = args
  if (source === undefined || mountPoint === undefined) return false
  const isCommand = commands.has(source) || source === 'help'
  return !source.startsWith('-') && !isCommand && (option === '-o' || mountPoint.startsWith('/'))
}

/** mount(8), "EXIT STATUS": it ends as its helper does. */
const mountStatus = { ok: 0, incorrectInvocation: 1, userInterrupt: 8, mountFailure: 32 } as const

/** Mounts as a daemon and returns when the mount answers, as mount(8) expects of its helpers. Whatever it ends with becomes mount(8)'s. */
export async function runMountHelper(args: readonly string[]): Promise<void> {
  process.once('exit', (code) => {
    process.exitCode = mountStatusOf(code)
  })
  const { mountArguments } = parseHelperCall(args)
  if (mountArguments === undefined) return
  const { mountCommand } = await import('./mount.js')
  // Its own refusals too end with our exit status of usage, not with commander's.
  const command = mountCommand(['mount', ...mountArguments]).exitOverride()
  await command.parseAsync(mountArguments, { from: 'user' })
}

/** mount(8), "External helpers": `SOURCE MOUNTPOINT [-sfnv] [-N namespace] [-o options] [-t type.subtype]`. Throws INVALID. */
export function parseHelperCall(args: readonly string[]): HelperCall {
  const words: string[] = []
  const optionTexts: string[] = []
  let sloppy = false
  let fake = false
  for (let at = 0; at < args.length; at++) {
    const argument = args[at] ?? ''
    if (argument === '-o' || argument === '-t' || argument === '-N') {
      const value = args[++at]
      if (value === undefined) throw invalid(`${argument} needs a value`)
      if (argument === '-o') optionTexts.push(value)
      if (argument === '-N') throw invalid('-N: mounting in another namespace is not supported')
    } else if (/^-[sfnv]+$/.test(argument)) {
      sloppy ||= argument.includes('s')
      fake ||= argument.includes('f')
    } else if (argument.startsWith('-') && argument !== '-') {
      throw invalid(`unknown option ${argument}`)
    } else words.push(argument)
  }
  const [source, mountPoint, ...rest] = words
  if (source === undefined || mountPoint === undefined || rest.length > 0) {
    throw invalid('usage: mount.fuse.registryfs SOURCE MOUNTPOINT [-sfnv] [-o OPTIONS]')
  }
  const { flags, images } = parseMountOptions(optionTexts, { fromMount: true, sloppy })
  if (fake) return { mountArguments: undefined }
  return { mountArguments: ['--daemon', '--source', source, ...flags, '--', mountPoint, ...images] }
}

function mountStatusOf(exitCode: number): number {
  if (exitCode === exitCodes.ok) return mountStatus.ok
  if (exitCode === exitCodes.usage) return mountStatus.incorrectInvocation
  if (exitCode === exitCodes.interrupted) return mountStatus.userInterrupt
  return mountStatus.mountFailure
}

function invalid(message: string): RegistryFsError {
  return new RegistryFsError('INVALID', message)
}
