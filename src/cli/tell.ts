/** One line on stderr: of a command that goes on. What ends it is `reportFailure`'s. */
export function tell(line: string): void {
  process.stderr.write(`registryfs: ${line}\n`)
}
