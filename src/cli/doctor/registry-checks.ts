import type { CoreConfig } from '../../config.js'
import { openRegistry } from '../../mount.js'
import { parseChallenges } from '../../registry/auth-challenge.js'
import type { Descriptor } from '../../registry/descriptor.js'
import { parseConfig } from '../../registry/image-config.js'
import { formatPlatform } from '../../registry/platform.js'
import { ProxyRules } from '../../registry/proxy.js'
import { RecordingTransport, type RecordedExchange } from '../../registry/recording-transport.js'
import { formatReference, type Reference } from '../../registry/reference.js'
import type { RegistryClient } from '../../registry/registry-client.js'
import type { ImageManifest } from '../../registry/registry.js'
import { headersOf, type HttpResponse, type Transport } from '../../registry/transport.js'
import type { Digest } from '../../util/digest.js'
import { describeError, hasCode } from '../../util/errors.js'
import { formatBytes } from '../../util/range.js'
import { exitCodeOf } from '../exit-code.js'
import { checkClock, explainRateLimit, explainRedirects, explainTokens } from './explanations.js'
import type { Findings } from './findings.js'
import { silentLogger, type Logger } from '../../util/log.js'

/** Enough to see how ranges are answered. */
const probeBytes = 1024

/** Does what a mount does with an image, without a cache, and explains what it saw. */
export async function checkRegistry(
  reference: Reference,
  config: CoreConfig,
  findings: Findings,
): Promise<void> {
  const stored = new Map<Digest, Buffer>()
  const documents = {
    load: async (digest: Digest) => Promise.resolve(stored.get(digest)),
    save: async (digest: Digest, bytes: Buffer) => {
      stored.set(digest, bytes)
      return Promise.resolve()
    },
  }
  const exchanges: RecordedExchange[] = []
  const observe = (sockets: Transport): Transport => new RecordingTransport(sockets, exchanges)
  let client: RegistryClient | undefined
  let check = 'configuration'
  const begin = (next: string): void => {
    check = next
  }
  try {
    client = await openRegistry(config, documents, warnings(findings), observe)
    begin('registry')
    await checkPing(client, reference, findings)
    begin('manifest')
    const manifest = await checkManifest(client, reference, findings).finally(() => {
      explainTokens(exchanges, findings)
      explainRateLimit(exchanges, findings)
    })
    begin('range')
    await checkBlob(client, reference, manifest, findings)
    begin('referrers')
    await checkReferrers(client, reference, manifest.topDigest, findings)
  } catch (error) {
    findings.fail(check, describeError(error), adviceFor(error, check, reference), exitCodeOf(error))
  } finally {
    explainRedirects(exchanges, findings)
    await client?.close()
  }
}

async function checkPing(client: RegistryClient, reference: Reference, findings: Findings): Promise<void> {
  const mirrors = client.mirrorsOf(reference)
  if (mirrors.length > 0) findings.info('mirrors', `asked first, in this order: ${mirrors.join(', ')}`)
  try {
    const ping = await client.probe(reference, '', { anonymous: true })
    explainPing(ping, findings)
    const proxy = new ProxyRules().find(ping.url)
    if (proxy !== undefined) findings.info('proxy', `${ping.url.host} is reached through ${proxy.url.host}`)
    checkClock(ping, findings)
  } catch (error) {
    if (mirrors.length === 0) throw error
    findings.warn('registry', describeError(error), 'what follows comes from its mirrors, or fails')
  }
}

function explainPing(response: HttpResponse, findings: Findings): void {
  const scheme = response.url.protocol.replace(':', '')
  const where = `${response.url.host} answers over ${scheme} (${String(response.status)} to /v2/)`
  if (response.status === 200 || response.status === 401) findings.ok('registry', where)
  else findings.warn('registry', where, 'a registry says 200 or 401 there; is this the right host?')
  const challenges = parseChallenges(headersOf(response, 'www-authenticate'))
  if (response.status === 200) findings.ok('challenge', 'none: anybody may ask')
  for (const { scheme: name, parameters } of challenges) {
    const realm = parameters.get('realm') ?? ''
    const host = URL.canParse(realm) ? new URL(realm).host : 'no URL'
    const text =
      name === 'bearer' ? `tokens of ${host} (Bearer)` : name === 'basic' ? 'user and password (Basic)' : name
    findings.ok('challenge', text)
  }
  if (response.status === 401 && challenges.length === 0)
    findings.warn('challenge', '401 without a challenge', 'it must say how to log in (WWW-Authenticate)')
}

async function checkManifest(
  client: RegistryClient,
  reference: Reference,
  findings: Findings,
): Promise<ImageManifest> {
  if (reference.digest === undefined) {
    const digest = await client.resolveTag(reference)
    if (digest === undefined)
      findings.warn(
        'tag',
        `${formatReference(reference)}: there is no such tag, says HEAD`,
        'check repository and tag',
      )
    else findings.ok('tag', `HEAD says ${digest}`)
  }
  const manifest = await client.fetchManifest(reference)
  const layers = `${String(manifest.layers.length)} layers, ${formatBytes(manifest.layers.reduce((sum, { size }) => sum + size, 0))}`
  findings.ok('manifest', `GET gives ${manifest.digest}, ${layers}`)
  const config = parseConfig(await client.fetchDocument(reference, manifest.config))
  findings.ok(
    'platform',
    config.platform === undefined ? 'the image does not say' : formatPlatform(config.platform),
  )
  return manifest
}

async function checkBlob(
  client: RegistryClient,
  reference: Reference,
  manifest: ImageManifest,
  findings: Findings,
): Promise<void> {
  const layer: Descriptor | undefined = manifest.layers.find(({ size }) => size > 0)
  if (layer === undefined) {
    findings.info('range', 'the image has no layer with bytes')
    return
  }
  const before = client.counters.blobBytes
  const length = Math.min(probeBytes, Math.max(1, layer.size - 1))
  await client.openBlob(reference, layer).read(0, length)
  const came = client.counters.blobBytes - before
  if (layer.size <= 1 || !client.isWithoutRanges)
    findings.ok(
      'range',
      `${String(length)} bytes of ${layer.digest} came as asked for (206), ${String(came)} in all`,
    )
  else
    findings.warn(
      'range',
      'the registry ignores ranges (200): a read in the middle of a layer fetches it from its start',
      'a pull-through cache may learn it with the first pull; registryfs index does one',
    )
}

async function checkReferrers(
  client: RegistryClient,
  reference: Reference,
  digest: Digest,
  findings: Findings,
): Promise<void> {
  const answer = await client
    .probe(reference, `referrers/${digest}`, { anonymous: false })
    .then(({ status }) => String(status), describeError)
  if (answer === '200') findings.ok('referrers', 'the registry has the referrers API')
  else findings.info('referrers', `no referrers API (${answer}); registryfs does not need it`)
}

function adviceFor(error: unknown, check: string, { host }: Reference): string {
  if (hasCode(error, 'UNAUTHORIZED', 'DENIED'))
    return `podman login ${host} or docker login ${host} as the user that mounts, and check that it may pull this`
  if (hasCode(error, 'NOT_FOUND', 'GONE'))
    return 'check repository, tag and --platform; private images look so to strangers'
  if (hasCode(error, 'RATE_LIMITED')) return 'log in, wait, or use a mirror'
  if (hasCode(error, 'UNAVAILABLE', 'TIMEOUT'))
    return 'check name, network, firewall, and HTTPS_PROXY and NO_PROXY'
  if (hasCode(error, 'INVALID')) return 'correct that file or value'
  if (check === 'range')
    return 'nothing can be read from there until it is mended; is there a proxy or cache in between?'
  return 'what it says there; is this the address of a registry?'
}

interface Warned {
  readonly mirror?: string
  readonly reason?: string
  readonly mirrors?: number
  readonly asked?: number
  readonly warning?: string
}

/** Of what the client logs this is news here: mirrors that fail, and what the registry itself warns of. */
function warnings(findings: Findings): Logger {
  return {
    ...silentLogger,
    warn: (...args: unknown[]) => {
      const [fields] = args as [unknown]
      if (typeof fields !== 'object' || fields === null) return
      const { mirror, reason, warning, mirrors, asked } = fields as Warned
      if (mirror !== undefined) {
        const advice = 'correct the mirror, or take it out of its file'
        findings.warn('mirror', `${mirror}: ${reason ?? 'failed'}`, advice)
      }
      if (mirrors !== undefined)
        findings.warn(
          'mirrors',
          `there are ${String(mirrors)}, and only the first ${String(asked)} are asked`,
          'take those out that nobody needs',
        )
      if (warning !== undefined)
        findings.warn('warning', `the registry says: ${warning}`, 'ask whoever runs it')
    },
  }
}
