import { exitCodes } from '../exit-code.js'

export const findingStates = ['ok', 'info', 'warn', 'fail'] as const

export interface Finding {
  readonly state: (typeof findingStates)[number]
  /** What was looked at, in a word or two. */
  readonly check: string
  readonly message: string
  /** What to do; for warn and fail. */
  readonly advice: string | undefined
}

/** What a doctor has found so far, in order. */
export class Findings {
  readonly all: Finding[] = []
  #exitCode: number = exitCodes.ok
  readonly #onFinding: (finding: Finding) => void

  constructor(onFinding: (finding: Finding) => void) {
    this.#onFinding = onFinding
  }

  /** Of the first that failed. */
  get exitCode(): number {
    return this.#exitCode
  }

  ok(check: string, message: string): void {
    this.#add({ state: 'ok', check, message, advice: undefined })
  }

  info(check: string, message: string): void {
    this.#add({ state: 'info', check, message, advice: undefined })
  }

  warn(check: string, message: string, advice: string): void {
    this.#add({ state: 'warn', check, message, advice })
  }

  fail(check: string, message: string, advice: string, exitCode: number): void {
    if (this.#exitCode === exitCodes.ok) this.#exitCode = exitCode === 0 ? exitCodes.failure : exitCode
    this.#add({ state: 'fail', check, message, advice })
  }

  #add(finding: Finding): void {
    this.all.push(finding)
    this.#onFinding(finding)
  }
}
