import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Findings } from '../../../src/cli/doctor/findings.js'
import { checkRegistry } from '../../../src/cli/doctor/registry-checks.js'
import { defaultConfig, type CoreConfig } from '../../../src/config.js'
import { parsePlatform } from '../../../src/registry/platform.js'
import { parseReference } from '../../../src/registry/reference.js'
import { authority } from '../../support/certificates.js'
import { FakeRegistry, type FakeRegistryOptions } from '../../support/fake-registry.js'
import { gzipLayer } from '../../support/images.js'
import { file, tarOf } from '../../support/tar-of.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const layer = gzipLayer(tarOf(file('disk', Buffer.alloc(20_000, 'x'))), 0)

interface Report {
  readonly exitCode: number
  /** `state: message -> advice` of what was found about something; in order. */
  readonly about: (check: string) => readonly string[]
  readonly text: string
}

async function start(t: TestContext, options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start(options)
  t.after(async () => registry.stop())
  registry.addImage('a', '1', { layers: [layer] })
  return registry
}

async function diagnose(t: TestContext, name: string, more: Partial<CoreConfig> = {}): Promise<Report> {
  const directory = await temporaryDirectory(t)
  const authFile = join(directory, 'auth.json')
  const registriesConf = join(directory, 'registries.conf')
  for (const path of [authFile, registriesConf]) await writeFile(path, path === authFile ? '{}' : '')
  const findings = new Findings(() => undefined)
  await checkRegistry(
    parseReference(name),
    {
      ...defaultConfig(),
      ...{ authFile, registriesConf, hostsDirectory: join(directory, 'none') },
      platform: parsePlatform('linux/amd64'),
      ...more,
    },
    findings,
  )
  const lines = findings.all.map(({ state, check, message, advice = '' }) => {
    assert.equal(advice !== '', state === 'warn' || state === 'fail', `${check}: ${message}`)
    return { check, line: `${state}: ${message}${advice === '' ? '' : ` -> ${advice}`}` }
  })
  return {
    exitCode: findings.exitCode,
    about: (check) => lines.filter((each) => each.check === check).map(({ line }) => line),
    text: lines.map(({ check, line }) => `${check} ${line}`).join('\n'),
  }
}

function matches(lines: readonly string[], ...patterns: readonly RegExp[]): void {
  assert.equal(lines.length, patterns.length, lines.join('\n'))
  for (const [i, pattern] of patterns.entries()) assert.match(lines[i] ?? '', pattern)
}

test('a registry that is well has a line for each thing, and none to complain of', async (t) => {
  const registry = await start(t, {
    auth: { ttlMs: 300_000 },
    faults: { rateLimit: { limit: 100, remaining: 76 } },
  })
  const { exitCode, about, text } = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(exitCode, 0)
  matches(about('registry'), /^ok: 127\.0\.0\.1:\d+ answers over http \(401 to \/v2\/\)$/)
  matches(about('challenge'), /^ok: tokens of 127\.0\.0\.1:\d+ \(Bearer\)$/)
  matches(about('clock'), /^ok: \d s (behind|ahead of) the registry's$/)
  matches(about('token'), /^ok: 127\.0\.0\.1:\d+ gives tokens for 300 s; they are renewed in time$/)
  matches(about('tag'), /^ok: HEAD says sha256:/)
  matches(about('manifest'), /^ok: GET gives sha256:[0-9a-f]{64}, 1 layers, /)
  matches(about('platform'), /^ok: linux\/amd64$/)
  matches(about('rate limit'), /^ok: 76 of 100 pulls left in 6 h$/)
  matches(about('range'), /^ok: 1024 bytes of sha256:.* came as asked for \(206\), 1024 in all$/)
  matches(about('redirect'), /^ok: none: the registry sends blobs itself$/)
  matches(about('referrers'), /^ok: the registry has the referrers API$/)
  assert.doesNotMatch(text, /(^|\n)\S+ (warn|fail)/)
  for (const token of registry.tokens.values) assert.ok(!text.includes(token))
})

test('what a registry lacks is told without alarm', async (t) => {
  const registry = await start(t, { faults: { noReferrers: true } })
  const { exitCode, about } = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(exitCode, 0)
  matches(about('challenge'), /^ok: none: anybody may ask$/)
  matches(about('token'))
  matches(about('rate limit'), /^info: the registry tells of none$/)
  matches(about('referrers'), /^info: no referrers API \(404\)/)
})

test('blobs that lie elsewhere are told by their host, without the signature', async (t) => {
  const registry = await start(t, { faults: { redirect: 'cdn' } })
  const good = await diagnose(t, `${registry.host}/a:1`)
  matches(good.about('redirect'), new RegExp(`^ok: 307 to ${registry.cdnHost}, signed$`))
  assert.ok(!/X-Amz-Signature=\w/.test(good.text))
  registry.faults = { redirect: 'cdn', urlTtlMs: -1 }
  const expired = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(expired.exitCode, 4)
  matches(expired.about('redirect'), /^ok: 307 to/)
})

test('a host where nobody listens, and one that does not exist', async (t) => {
  const refused = await diagnose(t, '127.0.0.1:1/a:1')
  assert.equal(refused.exitCode, 5)
  matches(refused.about('registry'), /^fail: .* refuses connections -> check name, network, firewall/)
  const unknown = await diagnose(t, 'registry.invalid/a:1')
  assert.equal(unknown.exitCode, 5)
  matches(unknown.about('registry'), /^fail: .*there is no host registry\.invalid \(DNS\) -> check name/)
})

test('an authority that nobody trusts here is told with what to do, and gone once it was done', async (t) => {
  const ca = await authority(t)
  const issued = await ca.issue('server', 'IP:127.0.0.1')
  const tls = { key: await readFile(issued.key), cert: await readFile(issued.certificate) }
  const registry = await start(t, { tls, faults: { redirect: 'cdn' } })
  const hostsDirectory = await temporaryDirectory(t)
  await mkdir(join(hostsDirectory, registry.host))
  await writeFile(join(hostsDirectory, registry.host, 'hosts.toml'), `server = "https://${registry.host}"\n`)
  const name = `${registry.host}/a:1`
  const bad = await diagnose(t, name, { hostsDirectory })
  assert.equal(bad.exitCode, 5)
  matches(bad.about('registry'), /^fail: .*signed by an authority that is not trusted here: .*--ca-file/)
  const good = await diagnose(t, name, { hostsDirectory, caFile: ca.certificate })
  assert.equal(good.exitCode, 0, good.text)
  matches(good.about('registry'), /answers over https/)
})

test('a rate limit that is used up is a warning, and when it bites a failure', async (t) => {
  const registry = await start(t, { faults: { rateLimit: { limit: 100, remaining: 0 } } })
  const none = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(none.exitCode, 0)
  matches(none.about('rate limit'), /^warn: 0 of 100 pulls left in 6 h -> log in, wait, or use a mirror$/)
  registry.faults.failing = { kind: 'manifest', status: 429, times: 99, retryAfter: '3600' }
  const over = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(over.exitCode, 5)
  matches(over.about('manifest'), /^fail: .*429.* -> log in, wait, or use a mirror$/)
  matches(over.about('rate limit'), /^warn: 0 of 100/)
})

test('a registry that ignores ranges is a warning, one that sends wrong ones a failure', async (t) => {
  const registry = await start(t, { faults: { ranges: 'ignored' } })
  const slow = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(slow.exitCode, 0)
  matches(slow.about('range'), /^warn: the registry ignores ranges \(200\).* -> .*registryfs index/)
  registry.faults = { ranges: 'shifted' }
  const wrong = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(wrong.exitCode, 5)
  matches(
    wrong.about('range'),
    /^fail: .*content-range.* -> nothing can be read from there until it is mended/,
  )
})

test('a clock that is wrong is told by how much', async (t) => {
  const registry = await start(t, { faults: { clockAheadMs: 3_600_000 } })
  const { exitCode, about } = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(exitCode, 0)
  matches(about('clock'), /^warn: (3600|3599) s behind the registry's -> set it/)
})

test('who may not is told to log in', async (t) => {
  const users = new Map([['robot', 'secret-password']])
  for (const scheme of ['bearer', 'basic'] as const) {
    const registry = await start(t, { auth: { users, scheme } })
    const { exitCode, about } = await diagnose(t, `${registry.host}/a:1`)
    assert.equal(exitCode, 4)
    const challenge =
      scheme === 'basic' ? /^ok: user and password \(Basic\)$/ : /^ok: tokens of .* \(Bearer\)$/
    matches(about('challenge'), challenge)
    matches(about('manifest'), /^fail: .*401.* -> podman login 127\.0\.0\.1:\d+ or docker login/)
    matches(about('token'), ...(scheme === 'bearer' ? [/^warn: .* gave none \(401\) -> log in/] : []))
  }
})

test('what is not there, and what is no registry', async (t) => {
  const registry = await start(t)
  const missing = await diagnose(t, `${registry.host}/a:2`)
  assert.equal(missing.exitCode, 3)
  matches(missing.about('tag'), /^warn: .*a:2: there is no such tag, says HEAD -> check repository and tag$/)
  matches(
    missing.about('manifest'),
    /^fail: .*404 MANIFEST_UNKNOWN.* -> check repository, tag and --platform/,
  )
  const image = registry.addImage('b', '1', { layers: [layer] })
  registry.faults = { missingBlobs: new Set(image.layerDigests) }
  const gone = await diagnose(t, `${registry.host}/b:1`)
  assert.equal(gone.exitCode, 3)
  matches(gone.about('range'), /^fail: .*no longer in the registry/)
  registry.faults = { html: true }
  const page = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(page.exitCode, 5)
  matches(
    page.about('manifest'),
    /^fail: .*there is no registry at this address -> .*the address of a registry\?$/,
  )
})

test('what a registry warns of is a warning', async (t) => {
  const registry = await start(t, { faults: { warning: '299 - "this registry closes in May"' } })
  const { exitCode, about } = await diagnose(t, `${registry.host}/a:1`)
  assert.equal(exitCode, 0)
  matches(about('warning'), /^warn: the registry says: this registry closes in May -> ask whoever runs it$/)
})

test('mirrors are named; one that fails is a warning, and so is a primary that is away while one answers', async (t) => {
  const [mirror, primary] = [await start(t), await start(t)]
  const registriesConf = join(await temporaryDirectory(t), 'registries.conf')
  await writeFile(
    registriesConf,
    `[[registry]]\nlocation = "${primary.host}"\nmirror = [{ location = "${mirror.host}" }]\n`,
  )
  const name = `${primary.host}/a:1`
  const well = await diagnose(t, name, { registriesConf })
  assert.equal(well.exitCode, 0)
  matches(well.about('mirrors'), new RegExp(`^info: asked first, in this order: ${mirror.host}$`))
  matches(well.about('mirror'))
  mirror.faults = { failing: { kind: 'any', status: 500, times: 99 } }
  const half = await diagnose(t, name, { registriesConf })
  assert.equal(half.exitCode, 0)
  matches(half.about('mirror'), /^warn: .*500.* -> correct the mirror, or take it out of its file$/)
  mirror.faults = {}
  await primary.stop()
  const cut = await diagnose(t, name, { registriesConf })
  assert.equal(cut.exitCode, 0, cut.text)
  matches(
    cut.about('registry'),
    /^warn: .*refuses connections -> what follows comes from its mirrors, or fails$/,
  )
  matches(cut.about('range'), /^ok: 1024 bytes/)
})

test('mirrors beyond the seventh are not asked, and doctor says so', async (t) => {
  const registry = await start(t)
  const registriesConf = join(await temporaryDirectory(t), 'registries.conf')
  const mirrors = Array.from({ length: 9 }, () => `{ location = "${registry.host}" }`).join(', ')
  await writeFile(registriesConf, `[[registry]]\nlocation = "a.test"\nmirror = [${mirrors}]\n`)
  const { about } = await diagnose(t, 'a.test/a:1', { registriesConf })
  matches(
    about('mirrors'),
    /^warn: there are 9, and only the first 7 are asked -> take those out/,
    /^info: asked first, in this order: (\S+, ){6}\S+$/,
  )
})

test('a configuration file that is no good is the first failure, with its place', async (t) => {
  const registriesConf = join(await temporaryDirectory(t), 'registries.conf')
  await writeFile(registriesConf, '\n[[registry]]\nlocation = 5\n')
  const { exitCode, about } = await diagnose(t, 'a.test/a:1', { registriesConf })
  assert.equal(exitCode, 2)
  matches(
    about('configuration'),
    /^fail: .*registries\.conf:3: registry\[0\]\.location must be a string -> correct that/,
  )
  await writeFile(registriesConf, '[[registry]]\nlocation = "a.test"\nblocked = true\n')
  const blocked = await diagnose(t, 'a.test/a:1', { registriesConf })
  assert.equal(blocked.exitCode, 4)
  matches(blocked.about('registry'), /^fail: a\.test\/a is blocked by .*registries\.conf -> /)
})
