import fc from 'fast-check'
import {
  charDevice,
  dir,
  fifo,
  file,
  hardlink,
  symlink,
  type MemberOptions,
  type Name,
  type TarPart,
} from './tar-of.js'

/** Kind, three choices, and what else a member has. */
export type Step = readonly [number, number, number, number]

/** Layers of an image, base first; each a list of steps that make sense whatever came before. */
export const randomImage = fc.array(
  fc.array(fc.tuple(fc.nat(29), fc.nat(1000), fc.nat(1000), fc.nat(1 << 20)), {
    minLength: 1,
    maxLength: 14,
  }),
  { minLength: 2, maxLength: 4 },
)

const names = ['a', 'b', 'c', 'd', 'e f', 'h\xe4\xff', '-x', 'n'.repeat(200), '.hidden', 'a\\b', "q'uote"]

/** What a container runtime would have after the steps so far, in so far as the next ones need to know it. */
class State {
  /** Latin-1 paths: directories (`''` the root), everything else, and links to directories. */
  readonly directories = new Set([''])
  readonly others = new Set<string>()
  readonly links = new Map<string, string>()

  remove(path: string): void {
    for (const set of [this.directories, this.others, this.links])
      for (const each of set.keys()) if (each === path || each.startsWith(`${path}/`)) set.delete(each)
  }

  /** What is in a directory. */
  clear(path: string): void {
    const prefix = path === '' ? '' : `${path}/`
    for (const each of [...this.directories, ...this.others])
      if (each !== path && each.startsWith(prefix)) this.remove(each)
  }
}

export function layersOf(steps: readonly (readonly Step[])[]): readonly (readonly TarPart[])[] {
  const state = new State()
  return steps.map((layer) => {
    const builder = new LayerBuilder(state)
    for (const step of layer) builder.take(step)
    return builder.parts
  })
}

/** A real path, and how a member says it: perhaps through a link to a directory. */
interface Place {
  readonly real: string
  readonly said: string
}

class LayerBuilder {
  readonly parts: TarPart[] = []
  readonly #state: State
  /** Real paths that the layer itself has: a whiteout does not mean these. */
  readonly #used = new Set<string>()

  constructor(state: State) {
    this.#state = state
  }

  take([kind, a, b, meta]: Step): void {
    if (kind <= 3) this.#addDirectory(this.#placeIn(a, b), meta)
    else if (kind <= 7) this.#addFile(this.#placeIn(a, b), meta)
    else if (kind <= 9) this.#addLink(this.#placeIn(a, b), a + b, meta)
    else if (kind <= 11) this.#addSymlink(this.#placeIn(a, b), meta)
    else if (kind <= 13) this.#addSpecial(this.#placeIn(a, b), kind === 12, meta)
    else if (kind === 14) this.#addFile(this.#placeBehindLink(a, b), meta)
    else if (kind === 15) this.#addDirectory(this.#placeBehindLink(a, b), meta)
    else if (kind === 16) this.#addLink(this.#placeBehindLink(a, b), a + b, meta)
    else if (kind <= 20) this.#hide(a, undefined)
    else if (kind === 21) this.#hide(b, a)
    else if (kind <= 23) this.#empty(a)
    else if (kind <= 25) this.#addImplied(this.#placeIn(a, b), meta)
    else if (kind <= 27) this.#addSymlink(this.#placeBehindLink(a, b), meta)
    else this.#hideNothing(this.#placeIn(a, b), meta)
  }

  #placeIn(a: number, b: number): Place {
    const path = join(pick([...this.#state.directories].sort(), a), pick(names, b))
    return { real: path, said: path }
  }

  #placeBehindLink(a: number, b: number): Place | undefined {
    const link = pick([...this.#state.links.keys()].sort(), a)
    const target = this.#state.links.get(link)
    if (target === undefined || !this.#state.directories.has(target)) return undefined
    const name = pick(names, b)
    return { real: join(target, name), said: join(link, name) }
  }

  #addDirectory(place: Place | undefined, meta: number): void {
    if (place === undefined) return
    if (!this.#state.directories.has(place.real)) this.#state.remove(place.real)
    this.#state.directories.add(place.real)
    this.#put(place, dir(bytes(`${place.said}/`), optionsOf(meta, true)))
  }

  #addFile(place: Place | undefined, meta: number): void {
    if (place === undefined) return
    this.#replace(place)
    this.#put(place, file(bytes(place.said), 'x'.repeat(meta % 3000), optionsOf(meta, true)))
  }

  #addSpecial(place: Place, isFifo: boolean, meta: number): void {
    this.#replace(place)
    const options = optionsOf(meta, false)
    const part = isFifo
      ? fifo(bytes(place.said), options)
      : charDevice(bytes(place.said), 1, meta % 16, options)
    this.#put(place, part)
  }

  #addSymlink(place: Place | undefined, meta: number): void {
    if (place === undefined) return
    this.#replace(place)
    const to = pick([...this.#state.directories].sort(), meta)
    if (meta % 3 !== 0) this.#state.links.set(place.real, to)
    const target = meta % 3 === 0 ? '../no/where' : `/${to}`
    this.#put(place, symlink(bytes(place.said), bytes(target), optionsOf(meta, false)))
  }

  /** To what is there already: in this layer, below it, or about to be replaced. */
  #addLink(place: Place | undefined, choice: number, meta: number): void {
    const target = pick([...this.#state.others].sort(), choice)
    if (place === undefined || (target as string | undefined) === undefined || isWithin(target, place.real))
      return
    const leadsTo = this.#state.links.get(target)
    this.#replace(place)
    const directory = target.slice(0, Math.max(0, target.lastIndexOf('/')))
    const links = [...this.#state.links].filter(([, to]) => to === directory).map(([link]) => link)
    const name = target.slice(target.lastIndexOf('/') + 1)
    const said = meta % 2 === 0 && links.length > 0 ? join(pick(links.sort(), meta), name) : target
    if (leadsTo !== undefined) this.#state.links.set(place.real, leadsTo)
    this.#put(place, hardlink(bytes(place.said), bytes(said), optionsOf(meta, false)))
  }

  /** A file in a directory that nothing names. */
  #addImplied(place: Place, meta: number): void {
    if (this.#state.others.has(place.real)) return
    this.#state.directories.add(place.real)
    const name = pick(names, meta)
    this.#addFile({ real: join(place.real, name), said: join(place.said, name) }, meta)
  }

  #hide(a: number, linkChoice: number | undefined): void {
    const { directories, others, links } = this.#state
    const victim = pick([...others, ...directories].sort(), a)
    if (victim === '' || this.#hasUsed(victim, true)) return
    const slash = victim.lastIndexOf('/') + 1
    const parent = victim.slice(0, Math.max(0, slash - 1))
    const ways = [...links].filter(([, to]) => to === parent).map(([link]) => link)
    const way = linkChoice === undefined || ways.length === 0 ? parent : pick(ways.sort(), linkChoice)
    if (isWithin(way, victim)) return
    this.#state.remove(victim)
    this.parts.push(file(bytes(join(way, `.wh.${victim.slice(slash)}`))))
  }

  /** Marks what no layer has, in what may be no directory either. */
  #hideNothing({ real }: Place, meta: number): void {
    const { directories, others, links } = this.#state
    const name = pick(names, meta)
    const path = join(real, name)
    if (links.has(real) || directories.has(path) || others.has(path)) return
    if (meta % 3 > 0) this.parts.push(file(bytes(join(real, `.wh.${name}`))))
    else if (!directories.has(real)) this.parts.push(file(bytes(join(real, '.wh..wh..opq'))))
  }

  #empty(a: number): void {
    const victim = pick([...this.#state.directories].sort(), a)
    if (this.#hasUsed(victim, false)) return
    this.#state.clear(victim)
    this.parts.push(file(bytes(join(victim, '.wh..wh..opq'))))
  }

  #hasUsed(path: string, itself: boolean): boolean {
    return [...this.#used].some((each) => (each === path ? itself : isWithin(each, path)))
  }

  #replace({ real }: Place): void {
    this.#state.remove(real)
    this.#state.others.add(real)
  }

  #put({ real }: Place, part: TarPart): void {
    this.#used.add(real)
    this.parts.push(part)
  }
}

function optionsOf(meta: number, canHaveXattrs: boolean): MemberOptions {
  return {
    mode: [0o644, 0o755, 0o4711, 0o2750, 0o1777, 0o600][meta % 6] ?? 0,
    uid: meta % 5,
    gid: meta % 7 === 0 ? 70_000 : 3,
    mtime: meta % 4 === 0 ? 1_500_000_000.25 : 1_400_000_000 + meta,
    ...(canHaveXattrs && meta % 11 === 0 ? { xattrs: { 'user.k': Buffer.from([0, meta % 251, 255]) } } : {}),
  }
}

const join = (parent: string, name: string): string => (parent === '' ? name : `${parent}/${name}`)
const bytes = (path: string): Name => Buffer.from(path, 'latin1')
const isWithin = (path: string, directory: string): boolean =>
  path === directory || directory === '' || path.startsWith(`${directory}/`)

function pick<T>(from: readonly T[], choice: number): T {
  return from[choice % Math.max(1, from.length)] as T
}
