/**
 * What one layer's tar says, as a tree: names made canonical, later members over earlier ones, hard links as one node
 * under several names, whiteouts noted and not shown. It grows while the layer is read, and a name that is in it is
 * right as far as the tar has been read. Nothing here goes up in the tree by recursion: tars may be as deep as they like.
 */
import type { TarMember } from '../tar/member.js'
import { PendingLinks, type PendingLink } from './pending-links.js'
import { pathComponents, PathWalk } from './tree-path.js'

export interface LayerNode {
  /** Undefined for a directory that the layer only implies; may become defined later. */
  readonly member: TarMember | undefined
  /** By the Latin-1 text of the name's bytes. Undefined for everything but directories. */
  readonly children: ReadonlyMap<string, LayerNode> | undefined
  /** Names in this layer. */
  readonly linkCount: number
  /** Names (Latin-1) in this directory that hide what the layers below have. */
  readonly whiteouts: ReadonlySet<string> | undefined
  /** Hides all that the layers below have in this directory. */
  readonly opaque: boolean
  /** Latin-1 components of a hard link's target that this layer does not have. */
  readonly unresolvedLink: readonly string[] | undefined
}

/** A node as its tree sees it. */
export interface MutableNode extends LayerNode {
  member: TarMember | undefined
  children: Map<string, MutableNode> | undefined
  linkCount: number
  whiteouts: Set<string> | undefined
  opaque: boolean
  unresolvedLink: readonly string[] | undefined
  /** Hard links in this directory whose target has not come yet. */
  pending: Map<string, PendingLink> | undefined
}

const whiteoutPrefix = '.wh.'
const opaqueMarker = '.wh..wh..opq'
/** AUFS kept its own things under these; they are nobody's files. */
const aufsNames: ReadonlySet<string> = new Set(['.wh..wh.aufs', '.wh..wh.orph', '.wh..wh.plnk'])
/** Hard links may lead to the files in here, though. */
const aufsLinkDirectory = '.wh..wh.plnk'
/** `.wh..` would hide the directory itself, `.wh...` its parent. */
const invalidWhiteouts: ReadonlySet<string> = new Set(['.wh.', '.wh..', '.wh...'])
const maximumReasons = 100
const maximumShownName = 200

export class LayerTree {
  readonly #root = directoryNode(undefined)
  /** The tree below AUFS's link directory, which nobody sees. */
  readonly #aufsLinks = directoryNode(undefined)
  readonly #pending = new PendingLinks()
  readonly #skipped: string[] = []
  #memberCount = 0

  get root(): LayerNode {
    return this.#root
  }

  /** Members that were added, seen or not. */
  get memberCount(): number {
    return this.#memberCount
  }

  /** Why members are not shown; the first hundred. */
  get skipped(): readonly string[] {
    return this.#skipped
  }

  add(member: TarMember): void {
    this.#memberCount++
    const path = pathComponents(member.name)
    if (typeof path === 'string') {
      this.#skip(member, path)
      return
    }
    const name = path.at(-1)
    if (name === undefined) {
      if (member.type === 'directory') this.#root.member = member
      else this.#skip(member, `a ${member.type} in place of the root`)
      return
    }
    if (name.startsWith(whiteoutPrefix) && this.#isMarker(member, path, name)) return
    if (aufsNames.has(path[0] as string) && path[0] !== aufsLinkDirectory) return
    const place = this.#parentOf(member, path)
    if (place === undefined) return
    if (member.type === 'hardlink') this.#addLink(member, place, name)
    else if (member.type === 'directory') this.#addDirectory(member, place, name)
    else this.#put(place, name, leafNode(member))
  }

  /** No more members come: links that still wait lead to layers below. */
  finish(): void {
    const links = this.#pending.links()
    for (const link of links) {
      if (link.isCancelled) continue
      // The way there may go through symbolic links that came later.
      const target = this.#find(link.target)
      if (target !== undefined) this.#resolve(link, target)
    }
    // First those that lead out of the layer, and with them the links to them; what is left leads in circles.
    for (const link of links) if (!link.isCancelled && !this.#isPending(link.target)) this.#resolveBelow(link)
    for (const link of links) if (!link.isCancelled) this.#resolveBelow(link)
    this.#pending.clear()
  }

  /** Handles names that are notes to the reader of layers rather than members. */
  #isMarker(member: TarMember, path: readonly string[], name: string): boolean {
    if (invalidWhiteouts.has(name)) {
      this.#skip(member, 'an impossible whiteout')
      return true
    }
    if (name === opaqueMarker) {
      const place = this.#parentOf(member, path)
      if (place !== undefined) place.node.opaque = true
      return true
    }
    if (aufsNames.has(name)) return true
    // A directory is none: containerd keeps it too.
    if (member.type === 'directory' || path[0] === aufsLinkDirectory) return false
    const place = this.#parentOf(member, path)
    if (place === undefined) return true
    const hidden = name.slice(whiteoutPrefix.length)
    ;(place.node.whiteouts ??= new Set()).add(hidden)
    const child = place.node.children?.get(hidden)
    if (child?.children !== undefined) child.opaque = true
    return true
  }

  #addDirectory(member: TarMember, place: PathWalk, name: string): void {
    const existing = place.node.children?.get(name)
    if (existing?.children === undefined) this.#put(place, name, directoryNode(member))
    else existing.member = member
  }

  #addLink(member: TarMember, place: PathWalk, name: string): void {
    const path = pathComponents(member.linkName)
    if (typeof path === 'string') {
      this.#skip(member, `a hard link to ${path}`)
      return
    }
    const target = this.#find(path)
    if (target?.children !== undefined) {
      this.#skip(member, 'a hard link to a directory')
      return
    }
    if (target !== undefined) {
      if (place.node.children?.get(name) === target) return
      target.linkCount++
      this.#put(place, name, target)
      return
    }
    this.#remove(place.node, name)
    const link: PendingLink = { member, target: path, place, name, isCancelled: false }
    ;(place.node.pending ??= new Map()).set(name, link)
    this.#pending.add(link)
  }

  /** Puts a node under a name, and under the names of all links that waited for that one, and so on. */
  #put(place: PathWalk, name: string, node: MutableNode): void {
    this.#attach(place.node, name, node)
    if (this.#pending.isEmpty) return
    const arrived = [place.pathOf(name)]
    for (let path = arrived.pop(); path !== undefined; path = arrived.pop()) {
      for (const link of this.#pending.take(path)) {
        if (link.isCancelled) continue
        if (node.children !== undefined) {
          this.#cancel(link)
          this.#skip(link.member, 'a hard link to a directory')
          continue
        }
        node.linkCount++
        this.#attach(link.place.node, link.name, node)
        arrived.push(link.place.pathOf(link.name))
      }
    }
  }

  #resolve(link: PendingLink, node: MutableNode): void {
    if (node.children !== undefined) {
      this.#cancel(link)
      this.#skip(link.member, 'a hard link to a directory')
      return
    }
    node.linkCount++
    this.#put(link.place, link.name, node)
  }

  #resolveBelow(link: PendingLink): void {
    this.#put(link.place, link.name, { ...leafNode(link.member), unresolvedLink: link.target })
  }

  #attach(parent: MutableNode, name: string, node: MutableNode): void {
    const replaced = this.#remove(parent, name)
    // What stood here a moment ago has hidden the directory of that name in the layers below, and so has a whiteout.
    if (node.children !== undefined && (replaced || parent.whiteouts?.has(name) === true)) node.opaque = true
    parent.children?.set(name, node)
  }

  /** Makes room for something else under a name. */
  #remove(parent: MutableNode, name: string): boolean {
    const waiting = parent.pending?.get(name)
    if (waiting !== undefined) this.#cancel(waiting)
    const existing = parent.children?.get(name)
    if (existing !== undefined) {
      existing.linkCount--
      parent.children?.delete(name)
    }
    return waiting !== undefined || existing !== undefined
  }

  #cancel(link: PendingLink): void {
    link.isCancelled = true
    link.place.node.pending?.delete(link.name)
  }

  /** The directory that a member goes into, made up where it is missing; undefined when the member is skipped. */
  #parentOf(member: TarMember, path: readonly string[]): PathWalk | undefined {
    const walk = new PathWalk(this.#rootOf(path))
    for (let i = 0; i < path.length - 1; i++) {
      const reason = walk.enter(path[i] as string, (parent, name) => {
        const made = directoryNode(undefined)
        this.#attach(parent, name, made)
        return made
      })
      if (reason === undefined) continue
      this.#skip(member, reason)
      return undefined
    }
    return walk
  }

  /** What is at a path now; symbolic links on the way there are followed, one at its end is found. */
  #find(path: readonly string[]): MutableNode | undefined {
    const directory = this.#directoryOf(path)
    const name = path.at(-1)
    return name === undefined ? directory : directory?.children?.get(name)
  }

  #isPending(path: readonly string[]): boolean {
    return this.#directoryOf(path)?.pending?.has(path.at(-1) ?? '') === true
  }

  #directoryOf(path: readonly string[]): MutableNode | undefined {
    const walk = new PathWalk(this.#rootOf(path))
    for (let i = 0; i < path.length - 1; i++) {
      if (walk.enter(path[i] as string, () => undefined) !== undefined) return undefined
    }
    return walk.node
  }

  #rootOf(path: readonly string[]): MutableNode {
    return path[0] === aufsLinkDirectory ? this.#aufsLinks : this.#root
  }

  #skip(member: TarMember, reason: string): void {
    if (this.#skipped.length >= maximumReasons) return
    const shown = member.name.toString('utf8', 0, maximumShownName)
    this.#skipped.push(`${JSON.stringify(shown)} is ${reason}`)
  }
}

function directoryNode(member: TarMember | undefined): MutableNode {
  return { ...leafNode(member), children: new Map() }
}

function leafNode(member: TarMember | undefined): MutableNode {
  return {
    member,
    children: undefined,
    linkCount: 1,
    whiteouts: undefined,
    opaque: false,
    unresolvedLink: undefined,
    pending: undefined,
  }
}
