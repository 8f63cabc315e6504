import { formatReference, parseReference } from '../registry/reference.js'
import { RegistryFsError } from '../util/errors.js'
import type { NamedImage } from './layout.js'

const listedNames = 10

/** The image of that name, else the only one. NOT_FOUND, or INVALID where a name is needed. */
export function selectImage<T extends NamedImage>(
  images: readonly T[],
  tag: string | undefined,
  place: string,
): T {
  if (tag !== undefined) {
    const found = images.find(({ names }) => names.some((name) => isNamed(name, tag)))
    if (found !== undefined) return found
    throw new RegistryFsError('NOT_FOUND', `${place}: no image ${JSON.stringify(tag)}: ${listOf(images)}`)
  }
  const [only] = images
  if (only !== undefined && images.every(({ digest }) => digest === only.digest)) return only
  if (only === undefined) throw new RegistryFsError('NOT_FOUND', `${place}: there is no image in it`)
  throw new RegistryFsError('INVALID', `${place}: more than one image: name one of them: ${listOf(images)}`)
}

/** As it is written, or as docker would complete both: `debian:12` is `docker.io/library/debian:12`. */
function isNamed(name: string, wanted: string): boolean {
  return name === wanted || completed(name) === completed(wanted)
}

function completed(name: string): string {
  try {
    return formatReference(parseReference(name))
  } catch {
    return name
  }
}

function listOf(images: readonly NamedImage[]): string {
  const names = images.flatMap(({ names: [name], digest }) => name ?? `@${digest}`)
  const more = names.length > listedNames ? ` and ${String(names.length - listedNames)} more` : ''
  return `it has ${names.slice(0, listedNames).join(', ') || 'none'}${more}`
}
