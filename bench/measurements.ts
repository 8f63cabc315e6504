import type { InflateSeconds } from './bare-inflate.js'
import type { BindingMeasurements } from './bindings.js'
import type { FirstBytes } from './first-byte.js'
import type { DiskFormat, Fixtures } from './fixtures.js'
import type { Layer } from './layer.js'
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

/** Of a layer that is inflated and indexed, and not converted. */
export interface UsrMeasurements {
  readonly inflateSeconds: InflateSeconds
  readonly firstPassSeconds: number
  readonly indexBytes: number
  readonly layer: Layer
}

export interface Measurements {
  readonly date: string
  readonly machine: string
  readonly runs: number
  /** Between two attempts; else what was read before may still be in memory. */
  readonly kernelCachesDropped: boolean
  readonly fixtures: Fixtures
  readonly images: Readonly<Record<DiskFormat, ImageMeasurements>>
  readonly usr: UsrMeasurements
  readonly bindings: BindingMeasurements
}
