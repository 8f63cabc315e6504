import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { outputOf, type CommandOptions } from './command.js'

/** A tar.gz that is served as an image's only layer. */
export interface Layer {
  readonly path: string
  readonly bytes: number
  readonly digest: string
  readonly diffId: string
  readonly tarBytes: number
}

/** `gzip -6 -n` of what the command, a tar, writes. */
export async function makeLayer(
  path: string,
  tarCommand: readonly string[],
  options: CommandOptions,
): Promise<Layer> {
  const tar = new Measured(outputOf(tarCommand, options))
  const gzip = spawn('gzip', ['-6', '-n'], { stdio: ['pipe', 'pipe', 'inherit'], signal: options.signal })
  const closed = once(gzip, 'close')
  const compressed = new Measured(gzip.stdout as AsyncIterable<Buffer>)
  await Promise.all([
    pipeline(tar.parts(), gzip.stdin),
    pipeline(compressed.parts(), createWriteStream(path)),
  ])
  await closed
  if (gzip.exitCode !== 0) throw new Error('gzip failed')
  return {
    path,
    bytes: compressed.bytes,
    digest: compressed.digest(),
    diffId: tar.digest(),
    tarBytes: tar.bytes,
  }
}

class Measured {
  bytes = 0
  readonly #input: AsyncIterable<Buffer>
  readonly #hash = createHash('sha256')

  constructor(input: AsyncIterable<Buffer>) {
    this.#input = input
  }

  async *parts(): AsyncGenerator<Buffer> {
    for await (const part of this.#input) {
      this.#hash.update(part)
      this.bytes += part.length
      yield part
    }
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`
  }
}
