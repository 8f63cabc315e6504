import type { InflateSeconds } from './bare-inflate.js'
import type { BindingMeasurements } from './bindings.js'
import type { FirstBytes } from './first-byte.js'
import type { DiskFormat, Fixtures } from './fixtures.js'
import type { RandomRead } from './random-reads.js'
import type { Traffic } from './registry.js'
import type { Timing } from './ways.js'

export interface Attempt extends Timing, Traffic {}

export interface ImageMeasurements {
  /** By the way's name, in the order of the runs. */
  readonly attempts: Readonly<Record<string, readonly Attempt[]>>
  /** Of `registryfs index` with an empty cache, one for each run. */
  readonly firstPassSeconds: readonly number[]
  readonly inflateSeconds: readonly InflateSeconds[]
  readonly randomReads: readonly RandomRead[]
  readonly firstBytes: FirstBytes
}

export interface Measurements {
  readonly date: string
  readonly machine: string
  readonly runs: number
  /** Between two attempts; else what was read before may still be in memory. */
  readonly kernelCachesDropped: boolean
  readonly fixtures: Fixtures
  readonly images: Readonly<Record<DiskFormat, ImageMeasurements>>
  readonly bindings: BindingMeasurements
}
