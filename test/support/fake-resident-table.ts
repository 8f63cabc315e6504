import assert from 'node:assert/strict'
import type { ResidentTable } from '../../src/native.js'

interface FakeSpace {
  shownBytes: number
  /** Views of what was published, by offset, each with what it was then. */
  readonly spans: Map<number, { readonly bytes: Buffer; readonly before: Buffer }>
}

/** What the threads of the addon would see. Notes wrong use: bytes that changed before they were withdrawn. */
export class FakeResidentTable implements ResidentTable {
  readonly spaces = new Map<number, FakeSpace>()
  readonly files = new Map<
    number,
    { readonly space: number; readonly offset: number; readonly size: number }
  >()
  epochs = 0
  answered = 0
  readonly renewed: number[] = []
  readonly retracted: number[] = []

  showUpTo(space: number, bytes: number): void {
    this.space(space).shownBytes = bytes
  }

  publish(space: number, offset: number, bytes: Buffer): void {
    assert.ok(!this.space(space).spans.has(offset), 'published twice')
    this.space(space).spans.set(offset, { bytes, before: Buffer.from(bytes) })
  }

  withdraw(space: number, offset: number): void {
    const span = this.space(space).spans.get(offset)
    assert.ok(span !== undefined, 'withdrawn twice')
    assert.ok(span.bytes.equals(span.before), 'changed while it was published')
    this.space(space).spans.delete(offset)
  }

  retract(_space: number, offset: number): void {
    this.retracted.push(offset)
  }

  renew(space: number): void {
    this.renewed.push(space)
  }

  openFile(handle: number, space: number, offset: number, size: number): void {
    this.files.set(handle, { space, offset, size })
  }

  closeFile(handle: number): void {
    this.files.delete(handle)
  }

  closeAllFiles(): void {
    this.files.clear()
  }

  beginEpoch(): void {
    this.epochs++
  }

  answers(): number {
    return this.answered
  }

  space(number: number): FakeSpace {
    let space = this.spaces.get(number)
    if (space === undefined) {
      space = { shownBytes: 0, spans: new Map() }
      this.spaces.set(number, space)
    }
    return space
  }

  /** All that may be read from there, offset and bytes of each piece. */
  shown(number: number): readonly (readonly [offset: number, bytes: Buffer])[] {
    const { shownBytes, spans } = this.space(number)
    return [...spans]
      .map(([offset, { bytes }]) => [offset, bytes.subarray(0, Math.max(0, shownBytes - offset))] as const)
      .filter(([, bytes]) => bytes.length > 0)
  }
}
