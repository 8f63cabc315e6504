/** What the layers below one have, in so far as it decides where members of that one go. By Latin-1 path. */
export interface LowerNames {
  /** Targets of symbolic links. */
  readonly symlinks: ReadonlyMap<string, Buffer>
  /** What hard links mean that stand before a member of that name in their own layer. */
  readonly linkTargets: ReadonlySet<string>
}
