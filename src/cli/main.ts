/** The command line: one file per command. Also mount(8)'s helper, when called as mount.fuse.registryfs. */
import { basename } from 'node:path'
import { Command, CommanderError } from 'commander'
import { version } from '../util/version.js'
import { commands } from './commands.js'
import { exitCodes } from './exit-code.js'
import { isMountHelperCall, runMountHelper } from './mount-helper.js'
import { reportFailure } from './report-failure.js'

/** To Node SIGUSR1 means that anybody on this machine may debug us; for the others no listener means death. */
const ignoredSignals = ['SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const

async function main(argv: readonly string[]): Promise<void> {
  for (const signal of ignoredSignals) process.on(signal, () => undefined)
  const invokedAs = basename(argv[1] ?? 'registryfs')
  if (isMountHelperCall(invokedAs, argv.slice(2))) {
    await runMountHelper(argv.slice(2))
    return
  }
  const program = new Command('registryfs')
    .description('container registries as a read-only file system: bytes are fetched when they are read')
    .version(version)
    .showHelpAfterError('(registryfs --help shows the commands)')
    .addHelpText(
      'after',
      `
References: [registry/]repository[:tag][@digest], and images on this machine: oci:DIR[:ref], oci-archive:FILE[:ref],
docker-archive:FILE[:tag], dir:DIR, containers-storage:[[ROOT]]name.

Exit status: 0 well, 1 other failure, 2 usage, 3 not found, 4 no permission, 5 registry unavailable,
6 bad data (digest, gzip, tar), 7 not supported, 8 this host is not ready, 130 interrupted.`,
    )
  program.exitOverride()
  const named = commands.get(argv[2] ?? '')
  // All of them for help, and for whoever mistypes one.
  for (const load of named === undefined ? commands.values() : [named])
    program.addCommand((await load()).exitOverride())
  await program.parseAsync(argv)
}

main(process.argv).catch((error: unknown) => {
  // commander has printed its message, and help is no failure.
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  else reportFailure(error)
})
