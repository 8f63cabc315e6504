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

const slash = 0x2f

interface Piece {
  /** Index of its first member, and of the one behind its last. */
  readonly first: number
  readonly end: number
  /** Members alone. */
  readonly bytes: Buffer
}

/** All members of a layer in the order of its tar, encoded: about 20 bytes and its name for each, decoded when it is asked for. */
export class MemberTable {
  readonly #pieces: Piece[] = []
  /** Where each member begins in its piece. */
  #starts = new Uint32Array(32)
  #length = 0
  /** The piece that is being written, and its first member. */
  readonly #writer = new VarintWriter()
  #first = 0
  #bytes = 0
  readonly #peeking = new MemberCursor(Buffer.alloc(0))
  /** Who asks for one member asks for its neighbours. */
  #lastPiece: Piece | undefined

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
    return this.peek(index).type
  }

  /** At type and name of a member, until the next one is looked at or added. */
  peek(index: number): MemberCursor {
    const cursor = this.#peeking
    cursor.goTo(this.#bytesOf(index), this.#starts[index] as number)
    cursor.peek()
    return cursor
  }

  /** At all of a member, until the next one is looked at or added. */
  read(index: number): MemberCursor {
    this.#peeking.goTo(this.#bytesOf(index), this.#starts[index] as number)
    this.#peeking.next()
    return this.#peeking
  }

  /** Latin-1, what follows the last slash of its name. */
  lastNameOf(index: number): string {
    const { bytes, nameStart, nameEnd } = this.peek(index)
    let start = nameEnd
    while (start > nameStart && bytes[start - 1] !== slash) start--
    return bytes.toString('latin1', start, nameEnd)
  }

  headerOffsetOf(index: number): number {
    return this.read(index).headerOffset
  }

  /** Those from `start` up to `end`, as `encodeMembers` has them. */
  encoded(start: number, end: number): Buffer {
    const parts = [new VarintWriter().count(end - start).done()]
    const all = this.#length > this.#first ? [...this.#pieces, this.#open()] : this.#pieces
    for (const piece of all) {
      const [from, to] = [Math.max(start, piece.first), Math.min(end, piece.end)]
      if (from >= to) continue
      const last = to === piece.end ? piece.bytes.length : this.#starts[to]
      parts.push(piece.bytes.subarray(this.#starts[from], last))
    }
    return Buffer.concat(parts)
  }

  /** Everything, as `decode` takes it. */
  *pieces(): Generator<Buffer> {
    for (const { first, end } of this.#pieces) yield this.encoded(first, end)
    if (this.#length > this.#first) yield this.encoded(this.#first, this.#length)
  }

  #addPiece(encoded: Buffer, maximumEnd: number): void {
    const cursor = new MemberCursor(encoded)
    const count = cursor.count(Math.floor(encoded.length / minimumMemberBytes))
    if (count > maximumPieceMembers) throw corrupt('a piece is too large')
    const bytes = encoded.subarray(cursor.at)
    const members = new MemberCursor(bytes)
    this.#bytes += bytes.length
    if (this.#bytes > maximumTableBytes) throw corrupt('they are too many')
    this.#pieces.push({ first: this.#length, end: this.#length + count, bytes })
    for (let left = count; left > 0; left--) {
      this.#setStart(this.#length++, members.at)
      members.next()
      if (members.end > maximumEnd) throw corrupt('one lies beyond the tar')
    }
    if (!members.isAtEnd) throw corrupt('something follows them')
  }

  #cursorAt(index: number): MemberCursor {
    return new MemberCursor(this.#bytesOf(index), this.#starts[index])
  }

  /** Of the piece that it is in, or more. */
  #bytesOf(index: number): Buffer {
    if (index >= this.#first) return this.#writer.sofar
    const known = this.#lastPiece
    if (known !== undefined && index >= known.first && index < known.end) return known.bytes
    const piece = this.#findPiece(index)
    this.#lastPiece = piece
    return piece.bytes
  }

  #findPiece(index: number): Piece {
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
    return { first: this.#first, end: this.#length, bytes: this.#writer.done() }
  }

  #close(): void {
    this.#pieces.push({ first: this.#first, end: this.#length, bytes: Buffer.from(this.#writer.done()) })
    this.#writer.clear()
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
