import type { Attempt, ImageMeasurements } from './measurements.js'
import { warm, ways } from './ways.js'

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const [low, high] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]]
  if (low === undefined || high === undefined) throw new Error('no values')
  return (low + high) / 2
}

export function attemptsOf(image: ImageMeasurements, name: string): readonly Attempt[] {
  const attempts = image.attempts[name]
  if (attempts === undefined) throw new Error(`${name} was not measured`)
  return attempts
}

export function secondsOf(image: ImageMeasurements, name: string): readonly number[] {
  return attemptsOf(image, name).map(({ seconds }) => seconds)
}

export function bestPeerOf(image: ImageMeasurements): { readonly name: string; readonly seconds: number } {
  const peers = ways
    .filter(({ kind }) => kind === 'peer')
    .map(({ name }) => ({ name, seconds: median(secondsOf(image, name)) }))
    .toSorted((a, b) => a.seconds - b.seconds)
  const [best] = peers
  if (best === undefined) throw new Error('there are no peers')
  return best
}

export function peakOf(attempts: readonly Attempt[]): number {
  return Math.max(...attempts.map(({ peakResidentBytes }) => peakResidentBytes ?? NaN))
}

export function indexBytesOf(image: ImageMeasurements): number {
  return Math.max(...attemptsOf(image, warm).map(({ indexBytes }) => indexBytes ?? NaN))
}
