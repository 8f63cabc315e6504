import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { output } from './mounted.js'
import { temporaryDirectory } from './temporary-directory.js'

/** Files in PEM. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
}

export interface Authority extends Certificate {
  /** `names` as openssl writes them: `IP:127.0.0.1,DNS:localhost`. With `days` below 0 it has expired. */
  issue(name: string, names: string, days?: number): Promise<Certificate>
}

const keyOptions = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const

/** A certificate authority of the test's own. */
export async function authority(test: TestContext, name = 'registryfs test authority'): Promise<Authority> {
  const directory = await temporaryDirectory(test)
  const certificate = join(directory, 'ca.crt')
  const key = join(directory, 'ca.key')
  const subject = ['-subj', `/CN=${name}`] as const
  await output(
    'openssl',
    'req',
    '-x509',
    ...keyOptions,
    ...subject,
    '-days',
    '2',
    '-keyout',
    key,
    '-out',
    certificate,
  )
  return {
    certificate,
    key,
    issue: async (name, names, days = 1) => {
      const made = { certificate: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) }
      const request = join(directory, `${name}.csr`)
      const extensions = join(directory, `${name}.ext`)
      await writeFile(extensions, names === '' ? 'keyUsage=digitalSignature' : `subjectAltName=${names}`)
      await output(
        'openssl',
        'req',
        ...keyOptions,
        '-subj',
        `/CN=${name}`,
        '-keyout',
        made.key,
        '-out',
        request,
      )
      await output(
        ...(['openssl', 'x509', '-req', '-in', request, '-CA', certificate, '-CAkey', key] as const),
        ...['-CAcreateserial', '-days', String(days), '-extfile', extensions, '-out', made.certificate],
      )
      return made
    },
  }
}
