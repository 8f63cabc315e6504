import { Command } from 'commander'
import { parseReference } from '../registry/reference.js'
import { configOf, coreOptions, type CoreFlags } from './core-options.js'
import { findingStates, Findings, type Finding } from './doctor/findings.js'
import { writeOut } from './output.js'
import { reportFailure } from './report-failure.js'

interface DoctorFlags extends CoreFlags {
  readonly json?: boolean
}

export function doctorCommand(): Command {
  const command = new Command('doctor')
    .description(
      'say whether this host, and a registry, are ready: each line ok, info, warn or fail, with what to do',
    )
    .argument('[reference]', 'an image to try: [registry/]repository[:tag][@digest]')
    .option('--json', 'as one JSON object')
    .addHelpText('after', '\nExit status 0 only where nothing failed.')
  return coreOptions(command).action(async (reference: string | undefined, flags: DoctorFlags) => {
    try {
      await diagnose(reference, flags)
    } catch (error) {
      reportFailure(error)
    }
  })
}

async function diagnose(text: string | undefined, flags: DoctorFlags): Promise<void> {
  const config = configOf(flags)
  const reference = text === undefined ? undefined : parseReference(text, { defaultHost: config.defaultHost })
  let written = Promise.resolve()
  const findings = new Findings((finding) => {
    if (flags.json === true) return
    written = written.then(async () => writeOut(lineOf(finding)))
    // Told below; until then it must not count as unhandled.
    written.catch(() => undefined)
  })
  const { checkHost } = await import('./doctor/host-checks.js')
  await checkHost(config, findings)
  if (reference !== undefined) {
    const { checkRegistry } = await import('./doctor/registry-checks.js')
    await checkRegistry(reference, config, findings)
  }
  await written
  if (flags.json === true) {
    const count = (state: Finding['state']): number =>
      findings.all.filter((each) => each.state === state).length
    const counts = Object.fromEntries(findingStates.map((state) => [state, count(state)]))
    await writeOut(
      `${JSON.stringify({ healthy: counts['fail'] === 0, ...counts, findings: findings.all }, null, 2)}\n`,
    )
  }
  process.exitCode = findings.exitCode
}

function lineOf({ state, check, message, advice }: Finding): string {
  const line = `${state.padEnd(5)} ${check.padEnd(17)} ${message}\n`
  return advice === undefined ? line : `${line}${' '.repeat(24)}-> ${advice}\n`
}
