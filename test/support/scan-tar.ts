import type { TarMember } from '../../src/tar/member.js'
import { TarScanner, type ScannerState } from '../../src/tar/tar-scanner.js'

/** The members of a tar that is pushed in pieces of `pieceBytes`, or of sizes that `pieceBytes` says one by one. */
export function scan(
  tar: Buffer,
  pieceBytes: number | (() => number) = Math.max(1, tar.length),
): TarMember[] {
  const members: TarMember[] = []
  const scanner = new TarScanner({ onMember: (member) => members.push(member) })
  pushFrom(scanner, tar, 0, pieceBytes)
  return members
}

/** The rest of a tar to a scanner that stands at `offset`. Each piece is wiped after its push, as lent slots are. */
export function pushFrom(
  scanner: TarScanner,
  tar: Buffer,
  offset: number,
  pieceBytes: number | (() => number),
): void {
  for (let at = offset; at < tar.length;) {
    const length = typeof pieceBytes === 'number' ? pieceBytes : pieceBytes()
    const piece = Buffer.from(tar.subarray(at, at + length))
    scanner.push(piece, at)
    piece.fill(0xee)
    at += piece.length
  }
  scanner.end(tar.length)
}

/** As the journal keeps it: through text and back. */
export function savedAndLoaded(state: ScannerState): ScannerState {
  const { carry, globals, ...numbers } = state
  const text = JSON.stringify({
    ...numbers,
    carry: carry.toString('base64'),
    globals: globals.toString('base64'),
  })
  const loaded = JSON.parse(text) as Omit<ScannerState, 'carry' | 'globals'> & {
    readonly carry: string
    readonly globals: string
  }
  return {
    ...loaded,
    carry: Buffer.from(loaded.carry, 'base64'),
    globals: Buffer.from(loaded.globals, 'base64'),
  }
}

/** The only member of a tar of one. */
export function scanOne(tar: Buffer): TarMember {
  const members = scan(tar)
  const [member] = members
  if (member === undefined || members.length > 1) throw new Error(`${String(members.length)} members`)
  return member
}
