import { once } from 'node:events'
import { RegistryFsError } from '../util/errors.js'

let broken = false
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `registryfs ls … | head` ends us like any filter: quietly.
  if (error.code === 'EPIPE') broken = true
  else throw error
})

/** Waits when the reader is slow. Throws ABORTED when it has gone. */
export async function writeOut(data: string | Buffer): Promise<void> {
  if (!broken && !process.stdout.write(data))
    await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')])
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- changed by the listener above
  if (broken) throw new RegistryFsError('ABORTED', 'nobody reads the output any more')
}

/** A name from an image must not move the cursor: control characters and invalid UTF-8 as \\xNN. */
export function printableName(name: Buffer): string {
  const text = name.toString('utf8')
  const valid = Buffer.from(text, 'utf8').equals(name)
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
