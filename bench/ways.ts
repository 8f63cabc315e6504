import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run, secondsOf, shell, type CommandOptions } from './command.js'
import { memberName, type Fixture } from './fixtures.js'
import { RegistryfsMount, type SpanCounts } from './registryfs.js'
import type { LocalRegistry } from './registry.js'

export interface Place {
  readonly registry: LocalRegistry
  /** Empty before each conversion. */
  readonly scratch: string
  /** Of the raw disk that shall be made. */
  readonly result: string
  /** registryfs's cache of this image. */
  readonly cache: string
  readonly options: CommandOptions
}

export interface Timing {
  /** From nothing but the registry to the raw disk, programs and mounts started included. */
  readonly seconds: number
  readonly convertSeconds?: number
  readonly peakResidentBytes?: number
  readonly indexBytes?: number
  readonly spans?: SpanCounts
}

/** One way from an image in a registry to a raw disk. */
export interface Way {
  readonly name: string
  /** What it is measured against. */
  readonly kind: 'ours' | 'peer' | 'floor'
  convert(fixture: Fixture, place: Place): Promise<Timing>
}

export const cold = 'registryfs mount, cold'
export const warm = 'registryfs mount, warm'
export const localFile = 'qemu-img of the local file'

export const ways: readonly Way[] = [
  {
    name: cold,
    kind: 'ours',
    convert: async (fixture: Fixture, place: Place): Promise<Timing> => {
      await rm(place.cache, { recursive: true, force: true })
      return convertMounted(fixture, place)
    },
  },
  // Finds the cache that the one before it left.
  { name: warm, kind: 'ours', convert: convertMounted },
  {
    name: 'nbdkit curl + gzip + tar',
    kind: 'peer',
    convert: async (fixture, { registry, result, scratch, options }) => ({
      seconds: await secondsOf(async () =>
        run(
          [
            ...['env', `TMPDIR=${scratch}`, 'nbdkit', '--readonly', '--filter=tar', '--filter=gzip', 'curl'],
            ...[registry.blobUrl(fixture), `tar-entry=${memberName}`],
            ...['--run', `qemu-img convert -f ${fixture.format} -O raw "$uri" '${result}'`],
          ],
          options,
        ),
      ),
    }),
  },
  {
    name: 'curl, tar -xzO, qemu-img',
    kind: 'peer',
    convert: async (fixture, { registry, result, scratch, options }) => ({
      seconds: await secondsOf(async () => {
        const disk = join(scratch, 'disk')
        await shell(
          `curl -sSf '${registry.blobUrl(fixture)}' | tar -xzOf - ${memberName} > '${disk}'`,
          options,
        )
        await convertFile(fixture, disk, result, options)
      }),
    }),
  },
  {
    name: 'skopeo copy, tar -xzO, qemu-img',
    kind: 'peer',
    convert: async (fixture, { registry, result, scratch, options }) => ({
      seconds: await secondsOf(async () => {
        const copy = join(scratch, 'copy')
        const disk = join(scratch, 'disk')
        await run(
          [
            ...['skopeo', 'copy', '--quiet', '--insecure-policy', '--src-tls-verify=false'],
            ...[`docker://${registry.reference(fixture.format)}`, `dir:${copy}`],
          ],
          options,
        )
        const layer = join(copy, fixture.layerDigest.replace('sha256:', ''))
        await shell(`tar -xzOf '${layer}' ${memberName} > '${disk}'`, options)
        await convertFile(fixture, disk, result, options)
      }),
    }),
  },
  {
    name: localFile,
    kind: 'floor',
    convert: async (fixture, { result, options }) => ({
      seconds: await secondsOf(async () => convertFile(fixture, fixture.disk, result, options)),
    }),
  },
]

async function convertMounted(fixture: Fixture, place: Place): Promise<Timing> {
  await mkdir(place.cache, { recursive: true })
  const start = performance.now()
  const mount = await RegistryfsMount.start(
    place.scratch,
    place.cache,
    place.registry.reference(fixture.format),
  )
  try {
    const convertSeconds = await secondsOf(async () =>
      convertFile(fixture, mount.disk, place.result, place.options),
    )
    return {
      seconds: (performance.now() - start) / 1000,
      convertSeconds,
      peakResidentBytes: await mount.peakResidentBytes(),
      indexBytes: await mount.indexBytes(),
      spans: await mount.spans(),
    }
  } finally {
    await mount.stop()
  }
}

async function convertFile(
  fixture: Fixture,
  disk: string,
  result: string,
  options: CommandOptions,
): Promise<void> {
  await run(['qemu-img', 'convert', '-f', fixture.format, '-O', 'raw', disk, result], options)
}
