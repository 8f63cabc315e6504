import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from './docker-registry.js'
import { FakeRegistry, type FakeRegistryOptions } from './fake-registry.js'
import type { ImageContents } from './images.js'
import { run } from './mounted.js'
import { mountImages, registryfs } from './registryfs.js'
import { temporaryDirectory } from './temporary-directory.js'

export interface BadInput {
  readonly what: string
  /** What the registry has at `disk:v1`. */
  readonly image?: ImageContents
  readonly registry?: FakeRegistryOptions | ((t: TestContext) => Promise<FakeRegistryOptions>)
  readonly change?: (registry: FakeRegistry, layer: string) => void
  /** After the host; `disk:v1` unless told. */
  readonly name?: string
  readonly host?: (t: TestContext) => Promise<string>
  /** Of the command and the mount; files can be put into the directory. */
  readonly flags?: (registry: FakeRegistry, directory: string) => Promise<readonly string[]>
  readonly exitStatus: number
  /** Part of the one line on stderr. */
  readonly says: RegExp
  /** As strerror has it, of `ls` on the alias. */
  readonly errno: string
  readonly code: string
}

/** The command line and a mount refuse it, each in one line that says why, and nothing secret. */
export async function assertRefused(t: TestContext, bad: BadInput, usual: ImageContents): Promise<void> {
  const { name = 'disk:v1' } = bad
  const registry = await FakeRegistry.start(
    typeof bad.registry === 'function' ? await bad.registry(t) : bad.registry,
  )
  t.after(async () => registry.stop())
  const image = registry.addImage('disk', 'v1', bad.image ?? usual)
  bad.change?.(registry, image.layerDigests[0] ?? '')
  const reference = `${(await bad.host?.(t)) ?? registry.host}/${name}`
  const files = await temporaryDirectory(t)
  const flags = (await bad.flags?.(registry, files)) ?? []

  const listed = await registryfs({ cache: join(files, 'cache') }, 'ls', ...flags, reference)
  assert.equal(listed.code, bad.exitStatus, listed.stderr)
  assert.match(listed.stderr, /^registryfs: .*\n$/)
  assert.match(listed.stderr, bad.says)
  assert.ok(listed.stderr.includes(name), `which image? ${listed.stderr}`)
  assertHarmless(listed.stderr + listed.stdout, registry)

  const mount = await mountImages(t, { cache: join(files, 'other'), images: [`d=${reference}`], flags })
  const path = join(mount.path, 'd')
  const entries = await run('ls', ['-R', path], 60_000)
  assert.notEqual(entries.code, 0)
  assert.match(entries.stderr, new RegExp(`: ${bad.errno}\n`))
  const facts = await run('getfattr', ['-d', '-m', 'user.registryfs.error', path], 60_000)
  assert.match(facts.stdout, new RegExp(`user\\.registryfs\\.error="[^\n]* ${bad.code}: `))
  assert.match(facts.stdout, bad.says)
  const status = await run('cat', [join(mount.path, '.registryfs/status.json')])
  assert.match(status.stdout, new RegExp(`"code": "${bad.code}"`))
  assert.equal(await mount.stop(), 0)
  assertHarmless(mount.log() + facts.stdout + status.stdout, registry)
}

export async function unusedHost(): Promise<string> {
  return `127.0.0.1:${String(await freePort())}`
}

/** Nobody learns from a message what lets somebody in, or where in our code it came from. */
function assertHarmless(text: string, registry: FakeRegistry): void {
  for (const token of registry.tokens.values) assert.ok(!text.includes(token), text)
  assert.doesNotMatch(text, /X-Amz-Signature=[0-9a-f]|Bearer secret/)
  assert.doesNotMatch(text, /(\n|\\n)\s+at .*:\d+:\d+/)
}
