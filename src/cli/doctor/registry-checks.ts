import type { CoreConfig } from '../../config.js'
import { openRegistry } from '../../mount.js'
import { parseChallenges } from '../../registry/auth-challenge.js'
import type { Descriptor } from '../../registry/descriptor.js'
import { parseConfig } from '../../registry/image-config.js'
import { formatPlatform } from '../../registry/platform.js'
import { ProxyRules } from '../../registry/proxy.js'
import { RecordingTransport } from '../../registry/recording-transport.js'
import { formatReference, type Reference } from '../../registry/reference.js'
import type { RegistryClient } from '../../registry/registry-client.js'
import type { ImageManifest } from '../../registry/registry.js'
import type { HttpResponse } from '../../registry/transport.js'
import { headersOf } from '../../registry/transport.js'
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
  let recorder: RecordingTransport | undefined
  const client = await openRegistry(config, documents, mirrorWarnings(findings), (sockets) => {
    recorder ??= new RecordingTransport(sockets)
    return recorder
  })
  const exchanges = (): RecordingTransport['exchanges'] => recorder?.exchanges ?? []
  const check = 'registry'
  try {
    const ping = await client.probe(reference, '', { anonymous: true })
    explainPing(ping, findings)
    const proxy = new ProxyRules().find(ping.url)
    if (proxy !== undefined) findings.info('proxy', `${ping.url.host} is reached through ${proxy.url.host}`)
    checkClock(ping, findings)
    const manifest = await checkManifest(client, reference, findings)
    explainTokens(exchanges(), findings)
    explainRateLimit(exchanges(), findings)
    await checkBlob(client, reference, manifest, findings)
    explainRedirects(exchanges(), findings)
    await checkReferrers(client, reference, manifest.topDigest, findings)
  } catch (error) {
    explainTokens(exchanges(), findings)
    findings.fail(check, describeError(error), adviceFor(error, reference), exitCodeOf(error))
  } finally {
    await client.close()
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
  const { status } = await client.probe(reference, `referrers/${digest}`, { anonymous: false })
  if (status === 200) findings.ok('referrers', 'the registry has the referrers API')
  else findings.info('referrers', `no referrers API (${String(status)}); registryfs does not need it`)
}

function adviceFor(error: unknown, { host }: Reference): string {
  if (hasCode(error, 'UNAUTHORIZED', 'DENIED'))
    return `podman login ${host} or docker login ${host} as the user that mounts, and check that it may pull this`
  if (hasCode(error, 'NOT_FOUND', 'GONE'))
    return 'check repository, tag and --platform; private images look so to strangers'
  if (hasCode(error, 'RATE_LIMITED')) return 'log in, wait, or use a mirror'
  if (hasCode(error, 'UNAVAILABLE', 'TIMEOUT'))
    return 'check name, network, firewall, and HTTPS_PROXY and NO_PROXY'
  if (hasCode(error, 'INVALID')) return 'correct that file or value'
  return 'what it says there; is this the address of a registry?'
}

/** The client warns of mirrors that fail; nothing else that it logs is news here. */
function mirrorWarnings(findings: Findings): Logger {
  return {
    ...silentLogger,
    warn: (...args: unknown[]) => {
      const [fields] = args as [unknown]
      if (typeof fields !== 'object' || fields === null || !('mirror' in fields)) return
      const { mirror, reason } = fields as { mirror: string; reason?: string }
      findings.warn(
        'mirror',
        `${mirror}: ${reason ?? 'failed'}`,
        'correct the mirror, or take it out of its file',
      )
    },
  }
}
