import { readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'

/** Where distributions keep what update-ca-certificates and its like put together (the list of Go's crypto/x509). */
const bundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** Where `systemAuthorities` looks. */
export function systemAuthorityFiles(environment: NodeJS.ProcessEnv = process.env): readonly string[] {
  const named = environment['SSL_CERT_FILE']
  const extra = environment['NODE_EXTRA_CA_CERTS']
  return [
    ...(named === undefined || named === '' ? bundles : [named]),
    ...(extra === undefined ? [] : [extra]),
  ]
}

/**
 * What this machine trusts, in PEM: SSL_CERT_FILE, else the distribution's bundle, else what Node has built in; and
 * NODE_EXTRA_CA_CERTS, which Node itself only adds to its own.
 */
export function systemAuthorities(environment: NodeJS.ProcessEnv = process.env): readonly string[] {
  const named = environment['SSL_CERT_FILE']
  const places = named === undefined || named === '' ? bundles : [named]
  const bundle = firstReadable(places)
  const extra = firstReadable([environment['NODE_EXTRA_CA_CERTS'] ?? ''])
  return [...(bundle === undefined ? rootCertificates : [bundle]), ...(extra === undefined ? [] : [extra])]
}

function firstReadable(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    try {
      if (path !== '') return readFileSync(path, 'latin1')
    } catch {
      // The next one, or none.
    }
  }
  return undefined
}
