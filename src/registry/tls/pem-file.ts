import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { RegistryFsError } from '../../util/errors.js'

/** The bundles of all distributions are smaller than 1 MiB. */
const maxPemBytes = 8 * 1024 * 1024

/** The text of a PEM file. Throws INVALID naming the file. */
export function readPem(path: string, label: 'CERTIFICATE' | 'PRIVATE KEY'): string {
  let text: string
  try {
    text = readFileSync(path, 'latin1')
  } catch (error) {
    throw invalid(path, `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`)
  }
  if (text.length > maxPemBytes) throw invalid(path, 'is too long')
  if (!new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text))
    throw invalid(path, `holds no ${label.toLowerCase()} in PEM`)
  if (label === 'CERTIFICATE') checkCertificates(path, text)
  return text
}

/** OpenSSL passes over what it cannot read. */
function checkCertificates(path: string, text: string): void {
  const blocks = text.match(/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END[^-]*-----/g) ?? []
  for (const [i, block] of blocks.entries()) {
    try {
      new X509Certificate(block)
    } catch {
      throw invalid(path, `is damaged: its certificate ${String(i + 1)} cannot be read`)
    }
  }
}

function invalid(path: string, reason: string): RegistryFsError {
  return new RegistryFsError('INVALID', `${path} ${reason}`)
}
