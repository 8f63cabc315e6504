import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

/** A shell that has done its first part, and waits for the word to go on with the second. */
export interface HeldShell {
  /** What the second part wrote, when the shell has ended. */
  goOn(): Promise<string>
}

/** `first` says that it is done by itself: nobody guesses how long a process takes to get there. */
export async function heldShell(t: TestContext, first: string, second = ''): Promise<HeldShell> {
  const script = `${first}\necho held\nread -r go\n${second}`
  const child = spawn('sh', ['-ec', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  let said = ''
  const held = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (said.startsWith('held\n')) resolve()
    })
  })
  await Promise.race([
    held,
    closed.then(() => {
      throw new Error(`the shell has ended early: ${first}`)
    }),
  ])
  return {
    goOn: async () => {
      child.stdin.end('go\n')
      await closed
      return said.slice('held\n'.length)
    },
  }
}
