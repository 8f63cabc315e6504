/**
 * What one layer's tar says, as a tree: names made canonical, later members over earlier ones, hard links as one node
 * under several names, whiteouts noted and not shown. It grows while the layer is read, and a name that is in it is
 * right as far as the tar has been read. Nothing here goes up in the tree by recursion: tars may be as deep as they like.
 */
import type { MemberType, TarMember } from '../tar/member.js'
import { LinkBudget } from './link-budget.js'
import type { LowerNames } from './lower-names.js'
import { aufsNames, invalidWhiteouts, opaqueMarker, whiteoutPrefix } from './marker-names.js'
import { MemberTable } from './member-table.js'
import { PendingLinks, type PendingLink } from './pending-links.js'
import { SkippedMembers } from './skipped-members.js'
import { TreeMembers } from './tree-members.js'
import { aufsLinkDirectory, TreePaths } from './tree-paths.js'
import { pathComponents, type PathWalk } from './tree-path.js'
import { TreeNode, type LayerNode, type TreeEntry } from './tree-node.js'

/** Directories that no member names: a short path can imply two thousand of them. */
const maximumImplied = 1 << 18
const tooManyImplied = 'in a directory that no member names, after 262,144 of those'

const slash = 0x2f
const dot = 0x2e
interface Added {
  readonly name: Buffer
  readonly type: MemberType
  /** In the table. */
  readonly index: number
}

export class LayerTree {
  readonly members: MemberTable
  readonly #inTree: TreeMembers
  readonly #root: TreeNode
  readonly #paths: TreePaths
  readonly #pending = new PendingLinks()
  readonly #lower: LowerNames | undefined
  readonly #skipped = new SkippedMembers()
  readonly #forwardTargets = new Map<string, readonly string[]>()
  readonly #linksBelow: TreeNode[] = []
  #impliedCount = 0
  #hadImplied = false
  readonly #linkBudget = new LinkBudget()
  #memberCount = 0
  /** The directory of the last member, for the next one is likely to go there too: its path with a slash, and the way. */
  #last: { readonly prefix: Buffer; readonly place: PathWalk } | undefined

  constructor(members = new MemberTable(), lower?: LowerNames) {
    this.members = members
    this.#lower = lower
    this.#inTree = new TreeMembers(members)
    this.#root = TreeNode.directory(this.#inTree)
    this.#paths = new TreePaths(this.#root, lower)
  }

  /** That of a layer whose members are all there, as they go where the layers below have them go. */
  static of(members: MemberTable, lower?: LowerNames): LayerTree {
    const tree = new LayerTree(members, lower)
    for (let index = 0; index < members.length; index++) tree.#addAt(index)
    tree.finish()
    return tree
  }

  get root(): LayerNode {
    return this.#root
  }

  /** Members that were added, seen or not. */
  get memberCount(): number {
    return this.#memberCount
  }

  /** Targets of hard links that came before what they seem to link to. The layers below may have those, too. */
  get forwardTargets(): Iterable<readonly string[]> {
    return this.#forwardTargets.values()
  }

  /** Whether directories that members implied have been named or replaced since. */
  get hadImplied(): boolean {
    return this.#hadImplied
  }

  get hasForwardLinks(): boolean {
    return this.#forwardTargets.size > 0
  }

  /** Targets of hard links to what this layer does not have, where members went on behind them: symbolic links, perhaps. */
  get linksThrough(): ReadonlyMap<string, readonly string[]> {
    return this.#paths.linksThrough
  }

  /** Hard links to what this layer does not have. */
  get linksBelow(): readonly LayerNode[] {
    return this.#linksBelow
  }

  /** Whether what the layers below have can decide where members go and what hard links mean. */
  get dependsOnLower(): boolean {
    const hasLinks = this.hasForwardLinks || this.#linksBelow.length > 0 || this.linksThrough.size > 0
    return this.#impliedCount > 0 || this.#hadImplied || hasLinks
  }

  get skipped(): readonly string[] {
    return this.#skipped.reasons
  }

  add(member: TarMember): void {
    const { name, type } = member
    const index = this.members.append(member)
    this.#memberCount++
    if (!this.#addBesideLast(name, 0, name.length, type, index)) this.#addByPath({ name, type, index })
  }

  #addAt(index: number): void {
    this.#memberCount++
    const { bytes, nameStart, nameEnd, type } = this.members.peek(index)
    if (!this.#addBesideLast(bytes, nameStart, nameEnd, type, index))
      this.#addByPath({ name: bytes.subarray(nameStart, nameEnd), type, index })
  }

  /** The fast way for a plain file in the directory of the one before. The name is part of `bytes`: a million of these are looked at. */
  #addBesideLast(bytes: Buffer, start: number, end: number, type: MemberType, index: number): boolean {
    const last = this.#last
    if (last === undefined || type === 'directory' || type === 'hardlink') return false
    if (this.#lower !== undefined) return false
    const { prefix, place } = last
    const tail = start + prefix.length
    if (end <= tail || end - tail > 255 || bytes[tail] === dot) return false
    for (let i = tail; i < end; i++) if (bytes[i] === slash || bytes[i] === 0) return false
    for (let i = prefix.length - 1; i >= 0; i--) if (prefix[i] !== bytes[start + i]) return false
    const isPlain = this.#pending.isEmpty && place.isDirect && place.node.directory?.addPlain(index) === true
    if (!isPlain) this.#put(place, bytes.toString('latin1', tail, end), index)
    return true
  }

  #addByPath(added: Added): void {
    const path = pathComponents(added.name)
    if (typeof path === 'string') {
      this.#skip(added, path)
      return
    }
    const name = path.at(-1)
    if (name === undefined) {
      if (added.type === 'directory') this.#root.memberIndex = added.index
      else this.#skip(added, `a ${added.type} in place of the root`)
      return
    }
    if (name.startsWith(whiteoutPrefix) && this.#isMarker(added, path, name)) return
    if (aufsNames.has(path[0] as string) && path[0] !== aufsLinkDirectory) return
    const place = this.#parentOf(added, path)
    if (place === undefined) return
    if (added.type === 'hardlink') this.#addLink(added, place, name)
    else if (added.type === 'directory') this.#addDirectory(added, place, name)
    else {
      // What is replaced may have been a symbolic link that led here.
      const isNew = place.node.directory?.find(name) === undefined && added.name.at(-1) !== slash
      const prefix = Buffer.from(added.name.subarray(0, added.name.lastIndexOf(slash) + 1))
      this.#last = isNew ? { prefix, place } : undefined
      if (!this.#addBesideLast(added.name, 0, added.name.length, added.type, added.index))
        this.#put(place, name, added.index)
    }
  }

  /** No more members come: links that still wait lead to layers below. */
  finish(): void {
    const links = this.#pending.links()
    for (const link of links) {
      if (link.isCancelled) continue
      // The way there may go through symbolic links that came later.
      const target = this.#paths.find(link.target)
      if (target === undefined) continue
      this.#forwardTargets.set(link.target.join('/'), link.target)
      this.#resolve(link, target)
    }
    // First those that lead out of the layer, and with them the links to them; what is left leads in circles.
    for (const link of links)
      if (!link.isCancelled && this.#paths.pendingAt(link.target) === undefined) this.#resolveBelow(link)
    for (const link of links) if (!link.isCancelled) this.#resolveBelow(link)
    this.#pending.clear()
  }

  /** Handles names that are notes to the reader of layers rather than members. */
  #isMarker(added: Added, path: readonly string[], name: string): boolean {
    if (invalidWhiteouts.has(name)) {
      this.#skip(added, 'an impossible whiteout')
      return true
    }
    if (name === opaqueMarker) {
      const node = this.#markedBy(added, path)
      if (node?.directory === undefined || node.opaque) return true
      node.directory.opaque = true
      // Directories that only markers imply are those of the layers below, and hidden.
      for (const [child, entry] of node.directory.directories()) if (!entry.isMade) this.#remove(node, child)
      return true
    }
    if (aufsNames.has(name)) return true
    // A directory is none: containerd keeps it too.
    if (added.type === 'directory' || path[0] === aufsLinkDirectory) return false
    this.#last = undefined
    const node = this.#markedBy(added, path)
    const directory = node?.directory
    if (node === undefined || directory === undefined) return true
    const hidden = name.slice(whiteoutPrefix.length)
    ;(directory.whiteouts ??= new Set()).add(hidden)
    const child = directory.find(hidden)
    if (!(child instanceof TreeNode) || child.directory === undefined) return true
    if (child.isMade) child.directory.opaque = true
    else this.#remove(node, hidden)
    return true
  }

  #addDirectory(added: Added, place: PathWalk, name: string): void {
    const existing = place.node.directory?.find(name)
    if (existing instanceof TreeNode && existing.directory !== undefined) {
      if (!existing.isNamed) this.#noLongerImplied()
      existing.memberIndex = added.index
    } else this.#put(place, name, TreeNode.directory(this.#inTree, added.index))
  }

  #addLink(added: Added, place: PathWalk, name: string): void {
    const path = pathComponents(this.members.get(added.index).linkName)
    if (typeof path === 'string') {
      this.#skip(added, `a hard link to ${path}`)
      return
    }
    const here = place.pathOf(name)
    const target = this.#paths.find(path)
    if (target?.directory !== undefined && target.isNamed) {
      this.#skip(added, 'a hard link to a directory')
      return
    }
    if (target !== undefined && target.directory === undefined) {
      if (place.node.directory?.find(name) === target) return
      this.#remove(place.node, name)
      this.#link(target, path, here)
      this.#put(place, name, target)
      return
    }
    const waiting = this.#paths.pendingAt(path)
    if (waiting?.place.node === place.node && waiting.name === name) return
    // Not to a link's name, which may be something else before long, but to what that one is a link to.
    const leadsTo = waiting?.target ?? this.#paths.canonical(path)
    if (!this.#linkBudget.canKeep(leadsTo, here)) {
      this.#remove(place.node, name)
      this.#skip(added, 'a hard link to what its layer does not have, after too many of those')
      return
    }
    // Where this layer only implies a directory, the layers below have the symbolic link that it links to.
    if (target !== undefined || this.#paths.isBelow(path)) {
      this.#put(place, name, this.#unresolved(added.index, leadsTo, here))
      return
    }
    this.#remove(place.node, name)
    const link: PendingLink = {
      memberIndex: added.index,
      target: leadsTo,
      place,
      name,
      isCancelled: false,
    }
    const { directory } = place.node
    if (directory !== undefined) (directory.pending ??= new Map()).set(name, link)
    this.#pending.add(link)
  }

  /** Puts something under a name, and under the names of all links that waited for that one, and so on. */
  #put(place: PathWalk, name: string, entry: TreeEntry): void {
    this.#attach(place.node, name, entry)
    if (this.#pending.isEmpty) return
    const arrived = [place.pathOf(name)]
    for (let path = arrived.pop(); path !== undefined; path = arrived.pop()) {
      for (const link of this.#pending.take(path)) {
        if (link.isCancelled) continue
        const node = place.node.directory?.keep(name)
        if (node === undefined) continue
        this.#forwardTargets.set(link.target.join('/'), link.target)
        if (node.directory !== undefined) {
          this.#cancel(link)
          this.#skipLink(link, 'a hard link to a directory')
          continue
        }
        this.#link(node, link.target, link.place.pathOf(link.name))
        this.#attach(link.place.node, link.name, node)
        arrived.push(link.place.pathOf(link.name))
      }
    }
  }

  #resolve(link: PendingLink, node: TreeNode): void {
    if (node.directory !== undefined) {
      this.#cancel(link)
      this.#skipLink(link, 'a hard link to a directory')
      return
    }
    this.#link(node, link.target, link.place.pathOf(link.name))
    this.#put(link.place, link.name, node)
  }

  #resolveBelow(link: PendingLink): void {
    const path = link.place.pathOf(link.name)
    this.#put(link.place, link.name, this.#unresolved(link.memberIndex, link.target, path))
  }

  /** One more name for a node. */
  #link(node: TreeNode, target: readonly string[], path: string): void {
    node.linkCount++
    if (!this.#linkBudget.canKeep([], path)) return
    node.linkPaths ??= new Set([this.#paths.canonical(target).join('/')])
    node.linkPaths.add(path)
  }

  #unresolved(memberIndex: number, target: readonly string[], path: string): TreeNode {
    const node = new TreeNode(this.#inTree, memberIndex)
    node.unresolvedLink = target
    node.linkPaths = new Set([path])
    this.#linksBelow.push(node)
    return node
  }

  #attach(parent: TreeNode, name: string, entry: TreeEntry): void {
    const { directory } = parent
    if (directory === undefined) return
    const replaced = this.#remove(parent, name)
    // What stood here a moment ago has hidden the directory of that name in the layers below, and so has a whiteout.
    if (entry instanceof TreeNode && entry.directory !== undefined)
      if (replaced || directory.whiteouts?.has(name) === true)
        entry.directory.opaque = entry.directory.isNew = true
    directory.set(name, entry)
  }

  /** Makes room for something else under a name. */
  #remove({ directory }: TreeNode, name: string): boolean {
    const waiting = directory?.pending?.get(name)
    if (waiting !== undefined) this.#cancel(waiting)
    const existing = directory?.find(name)
    if (existing === undefined) return waiting !== undefined
    directory?.delete(name)
    this.#last = undefined
    // With a directory go all names in it.
    const gone: TreeEntry[] = [existing]
    for (let entry = gone.pop(); entry !== undefined; entry = gone.pop()) {
      if (typeof entry === 'number') continue
      entry.linkCount--
      if (entry.directory === undefined) continue
      if (!entry.isNamed) this.#noLongerImplied()
      for (const link of entry.directory.pending?.values() ?? []) link.isCancelled = true
      for (const child of entry.directory.all()) gone.push(child)
    }
    return true
  }

  #noLongerImplied(): void {
    this.#impliedCount--
    this.#hadImplied = true
  }

  #cancel(link: PendingLink): void {
    link.isCancelled = true
    link.place.node.directory?.pending?.delete(link.name)
  }

  /** The directory that a member goes into, made up where it is missing; undefined when the member is skipped. */
  #parentOf(added: Added, path: readonly string[]): PathWalk | undefined {
    const walk = this.#paths.walk(path)
    for (let i = 0; i < path.length - 1; i++) {
      const reason = walk.enter(path[i] as string, (parent, name) => this.#imply(parent, name))
      if (reason === undefined) continue
      this.#skip(added, this.#impliedCount < maximumImplied ? reason : tooManyImplied)
      return undefined
    }
    walk.make()
    return walk
  }

  #markedBy(added: Added, path: readonly string[]): TreeNode | undefined {
    const node = this.#paths.markedBy(path, (parent, name) => this.#imply(parent, name))
    if (node === undefined && this.#impliedCount >= maximumImplied) this.#skip(added, tooManyImplied)
    return node
  }

  #imply(parent: TreeNode, name: string): TreeNode | undefined {
    if (this.#impliedCount >= maximumImplied) return undefined
    this.#impliedCount++
    const made = TreeNode.directory(this.#inTree)
    this.#attach(parent, name, made)
    return made
  }

  #skipLink(link: PendingLink, reason: string): void {
    this.#skip(this.members.get(link.memberIndex), reason)
  }

  #skip({ name }: Pick<Added, 'name'>, reason: string): void {
    this.#skipped.add(name, reason)
  }
}
