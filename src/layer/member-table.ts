import type { MemberType, TarMember } from '../tar/member.js'
import { RegistryFsError } from '../util/errors.js'
import { encodeMember } from './member-codec.js'
import { MemberCursor } from './member-cursor.js'
import { minimumMemberBytes } from './member-format.js'
import { VarintWriter } from './varints.js'

/** A piece is compressed and read at once. */
const maximumPieceMembers = 65_536
const maximumPieceBytes = 4 << 20
/** Five million members with paths of 80 bytes. */
const maximumTableBytes = 512 << 20

interface Piece {
  /** Index of its first member. */
  readonly first: number
  /** Members alone. */
  readonly bytes: Buffer
}

/** All members of a layer in the order of its tar, encoded: about 20 bytes and its name for each, decoded when it is asked for. */
export class MemberTable {
  readonly #pieces: Piece[] = []
  /** Where each member begins in its piece. */
  #starts = new Uint32Array(1024)
  #length = 0
  /** The piece that is being written, and its first member. */
  #writer = new VarintWriter()
  #first = 0
  #bytes = 0

  /** As `pieces` gives them. CORRUPT for anything else, and for members that end beyond `maximumEnd` of the tar. */
  static decode(pieces: Iterable<Buffer>, maximumEnd: number): MemberTable {
    const table = new MemberTable()
    for (const piece of pieces) table.#addPiece(piece, maximumEnd)
    table.#first = table.#length
    return table
  }

  get length(): number {
    return this.#length
  }

  /** The index that it has here. */
  append(member: TarMember): number {
    const index = this.#length
    if (index - this.#first === maximumPieceMembers || this.#writer.length >= maximumPieceBytes) this.#close()
    const start = this.#writer.length
    this.#setStart(index, start)
    encodeMember(this.#writer, member)
    this.#bytes += this.#writer.length - start
    if (this.#bytes > maximumTableBytes)
      throw new RegistryFsError(
        'LIMIT',
        'names, attributes and maps of the members are larger than 512 MiB',
        {
          offset: member.headerOffset,
        },
      )
    this.#length++
    return index
  }

  get(index: number): TarMember {
    const cursor = this.#cursorAt(index)
    cursor.next()
    return cursor.member()
  }

  typeOf(index: number): MemberType {
    const cursor = this.#cursorAt(index)
    cursor.peek()
    return cursor.type
  }

  /** A view that is valid until the next member is added. */
  nameOf(index: number): { readonly name: Buffer; readonly type: MemberType } {
    const piece = this.#pieceOf(index)
    const cursor = new MemberCursor(piece.bytes, this.#starts[index])
    cursor.peek()
    return { name: piece.bytes.subarray(cursor.nameStart, cursor.nameEnd), type: cursor.type }
  }

  slice(start: number, end: number): TarMember[] {
    const members: TarMember[] = []
    for (let i = start; i < Math.min(end, this.#length); i++) members.push(this.get(i))
    return members
  }

  /** Everything, as `decode` takes it. */
  *pieces(): Generator<Buffer> {
    const all = [...this.#pieces]
    if (this.#length > this.#first) all.push(this.#open())
    for (const [i, { first, bytes }] of all.entries()) {
      const count = (all[i + 1]?.first ?? this.#length) - first
      yield Buffer.concat([new VarintWriter().count(count).done(), bytes])
    }
  }

  #addPiece(encoded: Buffer, maximumEnd: number): void {
    const cursor = new MemberCursor(encoded)
    const count = cursor.count(Math.floor(encoded.length / minimumMemberBytes))
    if (count > maximumPieceMembers) throw corrupt('a piece is too large')
    const bytes = encoded.subarray(cursor.at)
    const members = new MemberCursor(bytes)
    this.#bytes += bytes.length
    if (this.#bytes > maximumTableBytes) throw corrupt('they are too many')
    this.#pieces.push({ first: this.#length, bytes })
    for (let left = count; left > 0; left--) {
      this.#setStart(this.#length++, members.at)
      members.next()
      if (members.end > maximumEnd) throw corrupt('one lies beyond the tar')
    }
    if (!members.isAtEnd) throw corrupt('something follows them')
  }

  #cursorAt(index: number): MemberCursor {
    return new MemberCursor(this.#pieceOf(index).bytes, this.#starts[index])
  }

  #pieceOf(index: number): Piece {
    if (index >= this.#first) return this.#open()
    let low = 0
    let high = this.#pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#pieces[middle] as Piece).first <= index) low = middle
      else high = middle - 1
    }
    return this.#pieces[low] as Piece
  }

  #open(): Piece {
    return { first: this.#first, bytes: this.#writer.done() }
  }

  #close(): void {
    this.#pieces.push({ first: this.#first, bytes: Buffer.from(this.#writer.done()) })
    this.#writer = new VarintWriter()
    this.#first = this.#length
  }

  #setStart(index: number, start: number): void {
    if (index === this.#starts.length) {
      const longer = new Uint32Array(2 * index)
      longer.set(this.#starts)
      this.#starts = longer
    }
    this.#starts[index] = start
  }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `members: ${reason}`)
}
