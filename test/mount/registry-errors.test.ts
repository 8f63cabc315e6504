import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ociIndex, ociManifest } from '../../src/registry/media-types.js'
import { digestOf } from '../../src/util/digest.js'
import { assertRefused, type BadInput } from '../support/bad-input.js'
import { authority } from '../support/certificates.js'
import type { Faults } from '../support/fake-registry-faults.js'
import type { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'

const options = { timeout: 120_000 }
const usual = {
  layers: [gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', sampleData('text', 3 << 20))))],
}
const noAnswer = { exitStatus: 5, errno: 'Input/output error' }
const wrongAnswer = { ...noAnswer, code: 'PROTOCOL' }
const unauthorized = { exitStatus: 4, errno: 'Permission denied', code: 'UNAUTHORIZED' }
const tooLarge = { exitStatus: 6, errno: 'File too large', code: 'LIMIT' }
const wrongFile = { exitStatus: 2, errno: 'Invalid argument', code: 'INVALID' }

function withFaults(faults: Faults): Pick<BadInput, 'registry'> {
  return { registry: { faults } }
}

async function writeHosts(
  registry: FakeRegistry,
  directory: string,
  text: string,
): Promise<readonly string[]> {
  await mkdir(join(directory, registry.host), { recursive: true })
  await writeFile(join(directory, registry.host, 'hosts.toml'), text)
  return ['--hosts-dir', directory]
}

/** https with a certificate of an authority that is trusted, if so. */
function overTls(
  days: number,
  isTrusted: boolean,
  faults: Faults = {},
): Pick<BadInput, 'registry' | 'flags'> {
  let caFile = ''
  return {
    registry: async (t) => {
      const ca = await authority(t)
      caFile = ca.certificate
      const { key, certificate } = await ca.issue('server', 'IP:127.0.0.1', days)
      return { tls: { key: await readFile(key), cert: await readFile(certificate) }, faults }
    },
    flags: async (registry, directory) => [
      ...(await writeHosts(registry, directory, `server = "https://${registry.host}"\n`)),
      ...(isTrusted ? ['--ca-file', caFile] : []),
    ],
  }
}

/** `disk:bad` is this document. */
function manifest(document: object | Buffer, mediaType = ociManifest): Pick<BadInput, 'name' | 'change'> {
  const bytes = Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document))
  return {
    name: 'disk:bad',
    change: (registry) => {
      registry.addManifest('disk', 'bad', bytes, mediaType)
    },
  }
}

const descriptor = { mediaType: 'application/x', digest: digestOf(Buffer.alloc(0)), size: 0 }
const imageDocument = { schemaVersion: 2, config: descriptor, layers: [descriptor] }

const cases: readonly BadInput[] = [
  {
    what: 'a certificate of an authority that nobody trusts here',
    ...overTls(1, false),
    ...wrongAnswer,
    says: /signed by an authority that is not trusted here: name its file with --ca-file/,
  },
  {
    what: 'a certificate that has expired',
    ...overTls(-1, true),
    ...wrongAnswer,
    says: /the certificate of 127\.0\.0\.1:\d+ has expired/,
  },
  {
    what: 'a redirect from https to http',
    ...overTls(1, true, { redirect: 'http-elsewhere' }),
    ...wrongAnswer,
    says: /a redirect from https to plain http:\/\/cdn\.example\/data\/sha256:[0-9a-f]+\?…/,
  },
  {
    what: 'a redirect that never ends',
    ...withFaults({ redirect: 'loop' }),
    ...wrongAnswer,
    says: /more than 5 redirects/,
  },
  {
    what: 'a blob that is sent compressed once more',
    ...withFaults({ contentEncoding: 'gzip' }),
    ...wrongAnswer,
    says: /the answer is encoded .* although that was not asked for/,
  },
  {
    what: 'ranges of other bytes than were asked for',
    ...withFaults({ ranges: 'shifted' }),
    ...wrongAnswer,
    says: /asked for bytes \d+-\d+\/\d+, got content-range/,
  },
  {
    what: 'ranges in several parts',
    ...withFaults({ ranges: 'multipart' }),
    ...wrongAnswer,
    says: /got content-range .*none \(multipart\/byteranges/,
  },
  {
    what: 'a blob that is shorter than the manifest says',
    change: (registry, layer) => {
      registry.replaceBlob(layer as ReturnType<typeof digestOf>, Buffer.alloc(1000))
    },
    ...wrongAnswer,
    says: /416: the manifest says \d+ bytes, 127\.0\.0\.1:\d+ has 1000 bytes/,
  },
  {
    what: 'connections that always break off',
    ...withFaults({ resetAfter: { bytes: 0, times: Infinity } }),
    ...noAnswer,
    code: 'UNAVAILABLE',
    says: /the connection to 127\.0\.0\.1:\d+ broke off/,
  },
  {
    what: 'a token server that lets in whom it knows',
    registry: { auth: { users: new Map([['robot', 'password']]) } },
    ...unauthorized,
    says: /GET token for repository:disk:pull: 401/,
  },
  {
    what: 'a helper program that is not installed',
    registry: { auth: { users: new Map([['robot', 'password']]), scheme: 'basic' } },
    flags: async (registry, directory) => {
      const path = join(directory, 'auth.json')
      await writeFile(path, JSON.stringify({ credHelpers: { [registry.host]: 'nowhere' } }))
      return ['--authfile', path]
    },
    ...unauthorized,
    says: /401.* \(credentials: docker-credential-nowhere is not installed\)/,
  },
  {
    what: 'a token server that is not https',
    registry: { auth: { realm: 'http://token.example/token' } },
    ...wrongAnswer,
    says: /the token server token\.example is not https, so it is not asked/,
  },
  {
    what: 'a registry that is blocked',
    flags: async (registry, directory) => {
      const path = join(directory, 'registries.conf')
      await writeFile(path, `[[registry]]\nlocation = "${registry.host}"\nblocked = true\n`)
      return ['--registries-conf', path]
    },
    exitStatus: 4,
    errno: 'Permission denied',
    code: 'DENIED',
    says: /127\.0\.0\.1:\d+\/disk is blocked by .*registries\.conf/,
  },
  {
    what: 'a mistake in hosts.toml',
    flags: async (registry, directory) => writeHosts(registry, directory, '\nskip_verify = 5\n'),
    ...wrongFile,
    says: /hosts\.toml:2: skip_verify must be true or false/,
  },
  {
    what: 'an authority that is no certificate',
    ...overTls(1, false),
    flags: async (registry, directory) => {
      await writeFile(join(directory, 'ca.pem'), 'nothing')
      const text = `server = "https://${registry.host}"\nca = "../ca.pem"\n`
      return writeHosts(registry, directory, text)
    },
    ...wrongFile,
    says: /ca\.pem holds no certificate in PEM/,
  },
  {
    what: 'an index without the platform',
    ...manifest(
      {
        schemaVersion: 2,
        manifests: [
          { ...descriptor, mediaType: ociManifest, platform: { os: 'linux', architecture: 'mips64le' } },
        ],
      },
      ociIndex,
    ),
    exitStatus: 3,
    errno: 'No such file or directory',
    code: 'NOT_FOUND',
    says: /no image for linux\/\w+: it has linux\/mips64le|there is no image by this name/,
  },
  {
    what: 'a manifest that is too long',
    ...manifest(Buffer.alloc((4 << 20) + 1, ' ')),
    ...tooLarge,
    says: /the answer is longer than 4194304 bytes/,
  },
  {
    what: 'a manifest of too many layers',
    ...manifest({ ...imageDocument, layers: Array(1001).fill(descriptor) }),
    ...tooLarge,
    says: /1001 layers, more than 1000/,
  },
  {
    what: 'a manifest that is an index as well',
    ...manifest({ ...imageDocument, manifests: [] }),
    ...wrongAnswer,
    says: /the manifest is invalid: it is both an index and a manifest/,
  },
  {
    what: 'a layer of less than no bytes',
    ...manifest({ ...imageDocument, layers: [{ ...descriptor, size: -1 }] }),
    ...wrongAnswer,
    says: /the manifest is invalid: the size of its layers\[0\] is not a whole number/,
  },
  {
    what: 'a manifest of a type that nobody knows',
    ...manifest({ ...imageDocument, mediaType: 'application/vnd.example.other' }),
    ...withFaults({ manifestContentType: 'application/json' }),
    exitStatus: 7,
    errno: 'Operation not supported',
    code: 'UNSUPPORTED',
    says: /manifests of type .*application\/vnd\.example\.other.* are not supported/,
  },
]

// Each waits for retries more than it works.
describe('what is wrong at a registry', { concurrency: 2 }, () => {
  for (const bad of cases) test(bad.what, options, async (t) => assertRefused(t, bad, usual))
})
