/**
 * GNU's sparse files: old GNU (type S, a map in the header and in blocks that follow it), PAX 0.0 and 0.1 (a map in
 * the records) and PAX 1.0 (a map as text at the start of the content). A map is refused when it overlaps, goes back,
 * exceeds the file, or has more data than the tar.
 */
import { corrupt } from './corrupt.js'
import { decodeNumber, parseDecimal } from './numbers.js'
import type { PaxRecords } from './pax.js'
import type { SparseMap } from './sparse-map.js'

const newline = 0x0a
const comma = 0x2c
const zero = 0x30
const nine = 0x39

/** Offset and length of a region, 12 bytes each. */
const entryBytes = 24
const headerMapStart = 386
const headerEntries = 4
const blockEntries = 21

/** Whether a block with more of the map follows the header of type S. */
export function hasMoreMap(header: Buffer): boolean {
  return header[482] !== 0
}

/** Whether yet another one follows this one. */
export function hasMoreMapAfter(mapBlock: Buffer): boolean {
  return mapBlock[504] !== 0
}

export function addHeaderMap(regions: number[], header: Buffer, offset: number): void {
  addEntries(regions, header, headerMapStart, headerEntries, offset)
}

export function addMapBlock(regions: number[], mapBlock: Buffer, offset: number): void {
  addEntries(regions, mapBlock, 0, blockEntries, offset)
}

/** A block's entries end where one begins with a NUL, as in GNU tar; what comes in the next block counts all the same. */
function addEntries(regions: number[], block: Buffer, start: number, entries: number, offset: number): void {
  for (let at = start; at < start + entries * entryBytes && block[at] !== 0; at += entryBytes) {
    regions.push(
      decodeNumber(block, at, 12, 'an offset of a sparse map', offset),
      decodeNumber(block, at + 12, 12, 'a length of a sparse map', offset),
    )
  }
}

/** What PAX records say of a sparse file. */
export interface PaxSparse {
  /** The name that the file has outside of the tar. */
  readonly name: Buffer | undefined
  /** Undefined: as large as what is stored. */
  readonly realSize: number | undefined
  /** Undefined: it stands at the start of the content. */
  readonly regions: number[] | undefined
}

/** Undefined: nothing of sparseness, or of a version that nobody knows, which is then a plain file, as for Go. */
export function paxSparse(records: PaxRecords, offset: number): PaxSparse | undefined {
  const map = records.get('GNU.sparse.map')
  const major = records.get('GNU.sparse.major')?.toString('latin1') ?? ''
  const minor = records.get('GNU.sparse.minor')?.toString('latin1') ?? ''
  const version = major === '' && minor === '' && (map?.length ?? 0) > 0 ? '0.1' : `${major}.${minor}`
  if (version !== '0.0' && version !== '0.1' && version !== '1.0') return undefined
  const name = records.get('GNU.sparse.name')
  // 0.0 and 0.1 say `size`, 1.0 says `realsize`.
  const size = [records.get('GNU.sparse.size'), records.get('GNU.sparse.realsize')].find(
    (value) => value !== undefined && value.length > 0,
  )
  const realSize = size === undefined ? undefined : parseDecimal(size, 'GNU.sparse.size', offset)
  if (realSize !== undefined && realSize < 0) throw corrupt('a size is negative', offset)
  return {
    name: name === undefined || name.length === 0 ? undefined : Buffer.from(name),
    realSize,
    regions: version === '1.0' ? undefined : recordMap(records, map, offset),
  }
}

function recordMap(records: PaxRecords, map: Buffer | undefined, offset: number): number[] {
  const regions: number[] = []
  const text = new DecimalReader(comma, offset)
  if (map !== undefined && map.length > 0) {
    text.take(map, regions)
    text.end(regions)
  }
  const count = records.get('GNU.sparse.numblocks')
  if (count === undefined || regions.length !== 2 * parseDecimal(count, 'GNU.sparse.numblocks', offset))
    throw corrupt('a sparse map does not have as many entries as it says', offset)
  return regions
}

/** The map of PAX 1.0: decimal numbers with a newline behind each, first the number of regions, padded to whole blocks. */
export class SparseText {
  readonly #numbers: number[] = []
  readonly #text: DecimalReader

  constructor(offset: number) {
    this.#text = new DecimalReader(newline, offset)
  }

  /** The regions, once the block that ends the map was taken. */
  take(block: Buffer): number[] | undefined {
    this.#text.take(block, this.#numbers, (numbers) => this.#isWhole(numbers))
    return this.#isWhole(this.#numbers) ? this.#numbers.slice(1) : undefined
  }

  #isWhole(numbers: readonly number[]): boolean {
    return numbers[0] !== undefined && numbers.length - 1 >= 2 * numbers[0]
  }
}

/** Numbers with a mark between them or behind each, that come in pieces. */
class DecimalReader {
  readonly #mark: number
  readonly #offset: number
  #value = 0
  #digits = 0

  constructor(mark: number, offset: number) {
    this.#mark = mark
    this.#offset = offset
  }

  take(
    bytes: Buffer,
    numbers: number[],
    isWhole: (numbers: readonly number[]) => boolean = () => false,
  ): void {
    for (const byte of bytes) {
      if (byte === this.#mark) {
        this.end(numbers)
        if (isWhole(numbers)) return
      } else {
        this.#value = this.#value * 10 + byte - zero
        this.#digits++
        if (byte < zero || byte > nine || this.#value > Number.MAX_SAFE_INTEGER)
          throw corrupt('a sparse map has something that is no number, or too large', this.#offset)
      }
    }
  }

  /** The last number has no mark behind it. */
  end(numbers: number[]): void {
    if (this.#digits === 0) throw corrupt('a sparse map lacks a number', this.#offset)
    numbers.push(this.#value)
    this.#value = 0
    this.#digits = 0
  }
}

/** Without what has no bytes, regions that touch made one. `storedBytes`: what the tar has of the file. */
export function sparseMapOf(
  regions: readonly number[],
  realSize: number,
  storedBytes: number,
  offset: number,
): SparseMap {
  const kept: number[] = []
  let end = 0
  let stored = 0
  for (let i = 0; i < regions.length; i += 2) {
    const start = regions[i] as number
    const length = regions[i + 1] ?? -1
    if (start < end || length < 0) throw corrupt('a sparse map overlaps or goes back', offset)
    if (start + length > realSize) throw corrupt('a sparse map exceeds its file', offset)
    if (length > 0 && start === end && kept.length > 0) kept.push((kept.pop() as number) + length)
    else if (length > 0) kept.push(start, length)
    end = start + length
    stored += length
  }
  if (stored > storedBytes) throw corrupt('a sparse map has more data than the tar', offset)
  return Float64Array.from(kept)
}
