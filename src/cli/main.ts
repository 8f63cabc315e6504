/** The command line: one file per command. Also mount(8)'s helper, when called as mount.fuse.registryfs. */
import { basename } from 'node:path'
import { Command, CommanderError } from 'commander'
import { version } from '../util/version.js'
import { commands } from './commands.js'
import { exitCodes } from './exit-code.js'
import { isMountHelperCall, runMountHelper } from './mount-helper.js'
import { writeOut } from './output.js'
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
References: [registry/]repository[:tag][@digest], and images on this machine, but for doctor: oci:DIR[:ref],
oci-archive:FILE[:ref], docker-archive:FILE[:tag], dir:DIR, containers-storage:[[ROOT]]name.

Exit status: 0 well, 1 other failure, 2 usage, 3 not found, 4 no permission, 5 registry unavailable,
6 bad data (digest, gzip, tar), 7 not supported, 8 this host is not ready, 130 interrupted.`,
    )
  program.exitOverride().configureOutput({ writeOut: collectHelp })
  const named = commands.get(argv[2] ?? '')
  // All of them for help, and for whoever mistypes one.
  for (const load of named === undefined ? commands.values() : [named])
    program.addCommand((await load()).exitOverride().configureOutput({ writeOut: collectHelp }))
  const [first, topic] = argv.slice(2)
  if (
    first === 'help' &&
    topic !== undefined &&
    topic !== 'help' &&
    !topic.startsWith('-') &&
    !commands.has(topic)
  )
    program.error(`error: unknown command '${topic}'`)
  await program.parseAsync(argv)
}

/** commander hears nothing of what becomes of its output. */
let help = ''

function collectHelp(text: string): void {
  help += text
}

main(process.argv)
  .catch(async (error: unknown) => {
    if (!(error instanceof CommanderError)) throw error
    // commander has printed its message, and help is no failure.
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    if (help !== '') await writeOut(help)
  })
  .catch(reportFailure)
