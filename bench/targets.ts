import type { BindingFigures, BindingMeasurements } from './bindings.js'
import { diskFormats, type DiskFormat } from './fixtures.js'
import type { ImageMeasurements, Measurements } from './measurements.js'
import { attemptsOf, bestPeerOf, indexBytesOf, median, peakOf, secondsOf } from './statistics.js'
import { cold, localFile, warm } from './ways.js'

const mebibyte = 2 ** 20
const gibibyte = 2 ** 30

export interface Target {
  readonly text: string
  readonly measured: string
  readonly isMet: boolean
}

/** What registryfs is meant to reach, and what it did. */
export function targetsOf({ images, fixtures, usr, bindings }: Measurements): readonly Target[] {
  const { qcow2, raw } = images
  const each = (
    work: (format: DiskFormat, image: ImageMeasurements) => readonly Target[],
  ): readonly Target[] => diskFormats.flatMap((format) => work(format, images[format]))
  return [
    againstPeers('qcow2', qcow2, 1),
    againstPeers('raw', raw, 0.6),
    atMost(
      'warm convert of qcow2, of the local file',
      median(secondsOf(qcow2, warm)) / median(secondsOf(qcow2, localFile)),
      1.5,
    ),
    ...each((format, image) => [
      atLeast(
        `first pass of ${format}: inflating with seek points, of the speed of zlib alone (CPU)`,
        median(image.inflateSeconds.map(({ bare }) => bare)) /
          median(image.inflateSeconds.map(({ withPoints }) => withPoints)),
        0.85,
      ),
      atLeast(
        `first pass of ${format} with download, hashes and disk (wall), of zlib alone (CPU)`,
        median(image.inflateSeconds.map(({ bare }) => bare)) / median(image.firstPassSeconds),
        0.85,
      ),
      atMost(
        `fetched by a cold convert of ${format}, of the layer`,
        Math.max(...attemptsOf(image, cold).map(({ blobBytes }) => blobBytes)) /
          fixtures.images[format].layerBytes,
        1.02,
        3,
      ),
      atMost(
        `MiB fetched by a random 64 KiB read of ${format} with the index alone (the most)`,
        Math.max(...image.randomReads.map(({ blobBytes }) => blobBytes)) / mebibyte,
        4,
      ),
      atMost(
        `requests until the first byte of ${format}, from nothing`,
        image.firstBytes.fromNothing.traffic.requests,
        6,
        0,
      ),
      atMost(
        `requests until the first byte of ${format}, with token and manifest`,
        image.firstBytes.withManifest.traffic.requests,
        2,
        0,
      ),
      atMost(
        `fetched until the first byte of ${format}, of the layer: not the whole pass`,
        image.firstBytes.fromNothing.traffic.blobBytes / fixtures.images[format].layerBytes,
        0.1,
      ),
    ]),
    atMost(
      'peak RSS of the daemon in MiB, on all of it',
      Math.max(
        ...diskFormats.flatMap((format) =>
          [cold, warm].map((name) => peakOf(attemptsOf(images[format], name)) / mebibyte),
        ),
      ),
      400,
      0,
    ),
    ...(
      [
        ['usr', [usr.inflateSeconds]],
        ['qcow2', qcow2.inflateSeconds],
        ['raw', raw.inflateSeconds],
      ] as const
    ).map(([name, seconds]) =>
      atLeast(
        `first pass of ${name}: inflating with seek points, of libdeflate's speed on the whole layer in memory (CPU)`,
        Math.min(...seconds.map(({ libdeflate }) => libdeflate)) /
          Math.min(...seconds.map(({ withPoints }) => withPoints)),
        0.85,
      ),
    ),
    atMost(
      'index of raw in MiB for each GiB of tar',
      indexBytesOf(raw) / mebibyte / (fixtures.images.raw.tarBytes / gibibyte),
      0.5,
    ),
    atMost(
      'index of usr in MiB for each GiB of tar',
      usr.indexBytes / mebibyte / (usr.layer.tarBytes / gibibyte),
      2.5,
    ),
    ...bindingTargets(bindings),
  ]
}

function bindingTargets({ bindings }: BindingMeasurements): readonly Target[] {
  const { native, 'fuse-native': other } = bindings
  const ratio = (of: (figures: BindingFigures) => readonly number[]): number =>
    median(of(native)) / median(of(other))
  return [
    atLeast(
      "sequential from memory at 128 KiB, of fuse-native's",
      ratio(({ sequential }) => sequential),
      3,
    ),
    // FUSE's pages have 4 KiB, a local file's folios more: it cannot be as fast as that.
    atMost(
      'a second open asks the daemon for (of what is read: the rest is in the page cache)',
      median(native.secondOpenAnswered),
      0.001,
      5,
    ),
    atLeast(
      "random 4 KiB direct, one job, of fuse-native's",
      ratio(({ randomOneJob }) => randomOneJob),
      3,
    ),
    atLeast(
      "random 4 KiB direct, four jobs, of fuse-native's",
      ratio(({ randomFourJobs }) => randomFourJobs),
      3,
    ),
    atMost('`ls -l` of 20,000 files with a new mount, with the index, in s', median(native.list), 0.5),
    atMost('`ls -l` of 20,000 files from nothing, in s', median(native.listFromNothing), 0.5),
    ...diskFormats.map((format) =>
      atMost(
        `64 KiB at a random place of ${format}, chunks cached, median in ms`,
        median(native.random64[format]),
        3,
      ),
    ),
  ]
}

function againstPeers(format: DiskFormat, image: ImageMeasurements, limit: number): Target {
  const best = bestPeerOf(image)
  return atMost(
    `cold convert of ${format}, of the best peer (${best.name})`,
    median(secondsOf(image, cold)) / best.seconds,
    limit,
  )
}

function atMost(text: string, value: number, limit: number, digits = 2): Target {
  return {
    text: `${text} (at most ${String(limit)})`,
    measured: value.toFixed(digits),
    isMet: value <= limit,
  }
}

function atLeast(text: string, value: number, limit: number, digits = 2): Target {
  return {
    text: `${text} (at least ${String(limit)})`,
    measured: value.toFixed(digits),
    isMet: value >= limit,
  }
}
