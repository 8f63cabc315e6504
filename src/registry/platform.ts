import { RegistryFsError } from '../util/errors.js'

/** What an image runs on, in Go's names (OCI image-spec image-index.md). */
export interface Platform {
  readonly os: string
  readonly architecture: string
  /** `v8`; empty when there is none. */
  readonly variant: string
}

const componentPattern = /^[a-z0-9_.-]{1,64}$/

/** Other names in use for the same thing, as containerd's platforms package takes them. */
const aliases: Readonly<Record<string, readonly [string, string]>> = {
  x86_64: ['amd64', ''],
  'x86-64': ['amd64', ''],
  i386: ['386', ''],
  i686: ['386', ''],
  aarch64: ['arm64', ''],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
}

/** Best first: what a machine of this architecture runs (containers/image platform_matcher.go; amd64: levels). */
const variants: Readonly<Record<string, readonly string[]>> = {
  arm: ['v8', 'v7', 'v6', 'v5'],
  arm64: ['v9', 'v8'],
  amd64: ['v4', 'v3', 'v2', 'v1'],
}

/** What an unnamed variant means. */
const defaultVariant: Readonly<Record<string, string>> = { arm: 'v7', arm64: 'v8', amd64: 'v1' }

/** In Go's names, those that images are made for: no architecture is called so. */
const systems: ReadonlySet<string> = new Set(['linux', 'windows', 'darwin', 'freebsd', 'wasip1', 'js'])

/** `linux/arm64/v8`, `linux/amd64`, or an architecture alone. Throws INVALID. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/')
  const isOsAlone = parts.length === 1 && systems.has(parts[0] ?? '')
  if (isOsAlone || parts.length > 3 || !parts.every((part) => componentPattern.test(part))) {
    throw new RegistryFsError(
      'INVALID',
      `not a platform (os/architecture[/variant]): ${JSON.stringify(text.slice(0, 200))}`,
    )
  }
  const [os = 'linux', architecture = '', variant = ''] = parts.length === 1 ? ['linux', ...parts] : parts
  return normalisePlatform(os, architecture, variant)
}

export function normalisePlatform(os: string, architecture: string, variant: string): Platform {
  const [name, implied] = aliases[architecture] ?? [architecture, '']
  return Object.freeze({ os, architecture: name, variant: variant === '' ? implied : variant })
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== '').join('/')
}

/** This machine's; always linux, for that is what images hold. */
export function hostPlatform(arch: string = process.arch): Platform {
  const names: Readonly<Record<string, string>> = {
    x64: 'amd64',
    ia32: '386',
    ppc64: 'ppc64le',
    mipsel: 'mipsle',
    mips64el: 'mips64le',
  }
  return normalisePlatform('linux', names[arch] ?? arch, '')
}

/** 0 is the best match, undefined none. An offer without a variant always matches, after those that name a fitting one. */
export function rankPlatform(wanted: Platform, offered: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined
  if (offered.variant === wanted.variant) return 0
  const order = variants[wanted.architecture] ?? []
  const from = order.indexOf(
    wanted.variant === '' ? (defaultVariant[wanted.architecture] ?? '') : wanted.variant,
  )
  if (offered.variant === '') return order.length + 1
  const at = from < 0 ? -1 : order.indexOf(offered.variant, from)
  return at < 0 ? undefined : 1 + at - from
}
