import { RegistryFsError } from '../util/errors.js'

process.stdout.on('error', () => undefined)

/** Waits until it is written. Throws ABORTED when the reader has gone: `registryfs ls … | head` ends us quietly, like any filter. */
export async function writeOut(data: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error: NodeJS.ErrnoException | null | undefined) => {
      if (error === null || error === undefined) resolve()
      else if (error.code === 'EPIPE')
        reject(new RegistryFsError('ABORTED', 'nobody reads the output any more'))
      else reject(new RegistryFsError('OUTPUT', `standard output: ${error.message}`))
    })
  })
}

/** Lines, written many at once, or each by itself where somebody waits for each. */
export class LineOutput {
  readonly #atOnce: number
  #text = ''

  constructor(isPrompt: boolean) {
    this.#atOnce = isPrompt ? 1 : 1 << 16
  }

  async add(line: string): Promise<void> {
    this.#text += line
    if (this.#text.length >= this.#atOnce) await this.flush()
  }

  async flush(): Promise<void> {
    const text = this.#text
    this.#text = ''
    if (text !== '') await writeOut(text)
    // Writing to a file or pipe ends at once, and nothing else would ever have its turn, not even what frees memory.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function isUtf8(name: Buffer): boolean {
  return Buffer.from(name.toString('utf8'), 'utf8').equals(name)
}

/** The bytes that `printableName` shows so. */
export function parsePrintableName(text: string): Buffer {
  const parts = text.split(/\\x([0-9a-f]{2})/)
  return Buffer.concat(parts.map((part, i) => Buffer.from(part, i % 2 === 0 ? 'utf8' : 'hex')))
}

/** A name from an image must not move the cursor: control characters and invalid UTF-8 as \\xNN. */
export function printableName(name: Buffer): string {
  const text = name.toString('utf8')
  const valid = isUtf8(name)
  // eslint-disable-next-line no-control-regex -- these are what must not reach a terminal
  if (valid && !/[\x00-\x1f\x7f-\x9f\\]/.test(text)) return text
  const escape = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`
  if (!valid) {
    return [...name]
      .map((byte) =>
        byte >= 0x20 && byte < 0x7f && byte !== 0x5c ? String.fromCharCode(byte) : escape(byte),
      )
      .join('')
  }
  // eslint-disable-next-line no-control-regex -- as above
  return text.replace(/[\x00-\x1f\x7f-\x9f\\]/g, (character) =>
    [...Buffer.from(character)].map(escape).join(''),
  )
}
