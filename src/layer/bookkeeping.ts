import type { TarMember } from '../tar/member.js'

/** eStargz keeps its table of contents, and how much of the layer is to be fetched first, as files in the tar. */
const names: ReadonlySet<string> = new Set([
  'stargz.index.json',
  '.prefetch.landmark',
  '.no.prefetch.landmark',
])

/** Whether a member is for readers of the layer, and nobody's file. */
export function isBookkeeping(member: Pick<TarMember, 'name' | 'type'>): boolean {
  if (member.type !== 'file' || member.name.length > 30) return false
  return names.has(member.name.toString('latin1').replace(/^(\.?\/)+/, ''))
}
