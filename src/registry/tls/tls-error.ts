import { redactText } from '../redact.js'

/** What is wrong with TLS at `host`, and what to do; undefined when `code` (of Node or OpenSSL) is not about TLS. */
export function tlsFailure(host: string, code: string, cause: unknown): string | undefined {
  const said = cause instanceof Error ? redactText(cause.message, 200) : 'unknown error'
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${host} has expired: whoever runs it must renew it, unless this machine's clock is wrong (${code})`
    case 'CERT_NOT_YET_VALID':
      return `the certificate of ${host} is not valid yet: is this machine's clock right? (${code})`
    case 'CERT_REVOKED':
      return `the certificate of ${host} was revoked (${code})`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'HOSTNAME_MISMATCH':
    case 'UND_ERR_PRX_TLS':
      return `the certificate of ${host} is for other names: use one of those, or have one made for this (${code}${altNames(cause)})`
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_UNTRUSTED':
    case 'INVALID_CA':
      return `the certificate of ${host} is signed by an authority that is not trusted here: name its file with --ca-file, or put it into /etc/containers/certs.d/${host}/ as ca.crt (${code})`
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return `${host} does not speak TLS: if it is meant not to, say --insecure ${host} (${code})`
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
    case 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE':
    case 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN':
    case 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA':
      return `${host} does not take our client certificate, or misses one: put x.cert and x.key into /etc/containers/certs.d/${host}/ (${code})`
  }
  // Older versions of Node give the code EPROTO to what OpenSSL says.
  if (code === 'EPROTO' && /wrong version number/i.test(said))
    return tlsFailure(host, 'ERR_SSL_WRONG_VERSION_NUMBER', cause)
  return /^(ERR_TLS_|ERR_SSL_|CERT_|EPROTO$|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)
    ? `TLS with ${host} failed: ${said} (${code})`
    : undefined
}

/** Whether TLS is spoken there, with a certificate that does not do, or misses one of ours. */
export function isVerificationFailure(code: string): boolean {
  return /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH$|INVALID_CA$|ERR_TLS_CERT_|ERR_SSL_\w+_ALERT_)/.test(
    code,
  )
}

function altNames(cause: unknown): string {
  const names = (cause as { cert?: { subjectaltname?: unknown } }).cert?.subjectaltname
  return typeof names === 'string' ? `: ${redactText(names, 200)}` : ''
}
