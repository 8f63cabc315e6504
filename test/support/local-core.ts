import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { defaultConfig } from '../../src/config.js'
import type { Image } from '../../src/image/image.js'
import { openCore, type Core } from '../../src/mount.js'
import { parseLocalReference } from '../../src/registry/local-reference.js'
import { parsePlatform } from '../../src/registry/platform.js'
import type { Reference } from '../../src/registry/reference.js'
import { silentLogger } from '../../src/util/log.js'
import { resolvePath } from '../../src/cli/resolve-path.js'
import { imageOf, type Layer, type PackedImage } from './images.js'
import { dir, file, tarOf, type TarPart } from './tar-of.js'

/** Everything below a mount, with a cache in `directory`; tags are looked at anew each time. */
export async function localCore(t: TestContext, directory: string): Promise<Core> {
  const cacheDirectory = join(directory, 'cache')
  await mkdir(cacheDirectory, { mode: 0o700, recursive: true })
  const config = { ...defaultConfig(), cacheDirectory, tagTtlMs: 0, platform: parsePlatform('linux/amd64') }
  const core = await openCore(config, silentLogger)
  t.after(async () => core.close())
  return core
}

export function localReference(text: string): Reference {
  const reference = parseLocalReference(text)
  if (reference === undefined) throw new Error(`${text} is not local`)
  return reference
}

export async function openLocal(core: Core, text: string): Promise<Image> {
  return core.images.open(localReference(text))
}

export async function contentOf(image: Image, path: string): Promise<Buffer> {
  const source = (await resolvePath(image, path)).open()
  return source.read(0, source.size)
}

export interface ArchivedImage {
  readonly layers: readonly Layer[]
  readonly tags?: readonly string[]
  /** Of the layers' files; `<n>/layer.tar` unless told. */
  readonly layerNames?: readonly string[]
  /** Fields to add to its entry in manifest.json. */
  readonly fields?: Readonly<Record<string, unknown>>
}

/** As `docker save` writes it; `more` goes before everything else. */
export function dockerArchive(images: readonly ArchivedImage[], ...more: readonly TarPart[]): Buffer {
  const parts: TarPart[] = [...more]
  const list = images.map(({ layers, tags = [], layerNames, fields }, at) => {
    const packed: PackedImage = imageOf({ layers })
    const config = `${String(at)}.json`
    parts.push(file(config, packed.blobs[0] ?? Buffer.alloc(0)))
    const names = layers.map((_, i) => layerNames?.[i] ?? `${String(at)}-${String(i)}/layer.tar`)
    layers.forEach((layer, i) => {
      if (layerNames === undefined) parts.push(file(names[i] ?? '', layer.bytes))
    })
    return { Config: config, RepoTags: tags, Layers: names, ...fields }
  })
  return tarOf(...parts, file('manifest.json', JSON.stringify(list)))
}

export interface LegacyLayer {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly parent?: string
  readonly tar: Buffer
}

/** As `docker save` wrote it before Docker 1.10; `repositories` is name -> tag -> ID of the top layer. */
export function legacyDockerArchive(
  layers: readonly LegacyLayer[],
  repositories: unknown,
  ...more: readonly TarPart[]
): Buffer {
  const parts = layers.flatMap(({ id, parent, tar }) => [
    dir(`${id}/`),
    file(`${id}/VERSION`, '1.0'),
    file(`${id}/json`, JSON.stringify({ id, parent, os: 'linux', architecture: 'amd64', config: {} })),
    file(`${id}/layer.tar`, tar),
  ])
  return tarOf(...parts, ...more, file('repositories', JSON.stringify(repositories)))
}
