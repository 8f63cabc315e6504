import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import type { FuseOperations } from '../../src/fuse/binding.js'
import { FuseServer } from '../../src/fuse/fuse-server.js'
import type { ParkedReads } from '../../src/fuse/parked-reads.js'
import type { Passthrough } from '../../src/fuse/passthrough.js'
import type { RegistryFsError } from '../../src/util/errors.js'

interface Answered {
  readonly unique: number
  readonly errno: number
  readonly body: Buffer
}

export interface FakeKernel {
  readonly server: FuseServer
  /** Sends requests; gives all answers, once what was asked is done. */
  readonly ask: (...requests: readonly Buffer[]) => Promise<Answered[]>
  readonly answers: Answered[]
  readonly forgotten: [inode: number, count: number][]
  readonly inits: (RegistryFsError | undefined)[]
  readonly log: () => string
}

/**
 * A server whose operations are those given (any other is a bug that it answers with EIO), and a kernel that notes what
 * it is told, and refuses every answer with `refusal`.
 */
export function fakeKernel(
  given: Partial<FuseOperations> = {},
  refusal = 0,
  passthrough?: Passthrough,
  parked?: ParkedReads,
): FakeKernel {
  const answers: Answered[] = []
  const forgotten: [number, number][] = []
  const inits: (RegistryFsError | undefined)[] = []
  let log = ''
  const base: Partial<FuseOperations> = {
    peek: () => undefined,
    peekLookup: () => undefined,
    peekOpendir: () => undefined,
    peekReaddir: () => undefined,
    load: async () => Promise.resolve(),
    forget: (inode, count) => {
      forgotten.push([inode, count])
    },
    backingOf: () => undefined,
    cachingOf: () => 'until-reopened',
  }
  const server = new FuseServer({ ...base, ...given } as FuseOperations, {
    answer: (unique, error, parts) => {
      answers.push({ unique, errno: error, body: Buffer.concat(parts) })
      return refusal
    },
    passthrough,
    parked,
    log: pino({ level: 'trace' }, { write: (line: string) => (log += line) }),
    onInit: (error) => {
      inits.push(error)
    },
  })
  const ask = async (...requests: readonly Buffer[]): Promise<Answered[]> => {
    server.take(Buffer.concat(requests))
    await setImmediate()
    await setImmediate()
    return answers.splice(0)
  }
  return { server, ask, answers, forgotten, inits, log: () => log }
}
