import type { InflateSeconds } from './bare-inflate.js'
import { bindingsReport } from './bindings-report.js'
import { diskFormats, type DiskFormat } from './fixtures.js'
import type { Measurements } from './measurements.js'
import { attemptsOf, bestPeerOf, indexBytesOf, median, peakOf, secondsOf } from './statistics.js'
import { targetsOf } from './targets.js'
import { cold, localFile, warm, ways } from './ways.js'

const mebibyte = 2 ** 20

/** As Markdown. */
export function reportOf(measurements: Measurements): string {
  const { machine, date, runs, fixtures, kernelCachesDropped, usr } = measurements
  const caches = kernelCachesDropped
    ? 'kernel caches dropped before each'
    : 'KERNEL CACHES NOT DROPPED (needs root)'
  return [
    '## registryfs against its peers',
    '',
    `${machine}, ${date}. Seconds from a docker-registry on loopback to a raw disk, programs and mounts started ` +
      `included; median of ${String(runs)}, interleaved, ${caches}. Contents: ${fixtures.contents}. ` +
      'Every result was compared with the source. registryfs starts without NODE_EXTRA_CA_CERTS.',
    ...diskFormats.flatMap((format) => imageReport(format, measurements)),
    ...bindingsReport(measurements.bindings),
    '',
    `### usr: a layer of ${(usr.layer.bytes / mebibyte).toFixed(0)} MiB, ${(usr.layer.tarBytes / mebibyte).toFixed(0)} MiB of tar`,
    '',
    `- first pass with download, hashes and disk: ${usr.firstPassSeconds.toFixed(2)} s (wall); ${inflateReport([usr.inflateSeconds])}`,
    `- index: ${(usr.indexBytes / 1024).toFixed(0)} KiB`,
    '',
    '### Targets',
    '',
    ...targetsOf(measurements).map(
      ({ text, measured, isMet }) => `- ${isMet ? 'met' : 'MISSED'}: ${text}: ${measured}`,
    ),
    '',
  ].join('\n')
}

function inflateReport(all: readonly InflateSeconds[]): string {
  const seconds = (of: keyof InflateSeconds): string => median(all.map((one) => one[of])).toFixed(2)
  return `inflating with seek points ${seconds('withPoints')} s of CPU, libdeflate alone ${seconds('libdeflate')} s, zlib alone ${seconds('bare')} s`
}

function imageReport(format: DiskFormat, { fixtures, images }: Measurements): readonly string[] {
  const fixture = fixtures.images[format]
  const image = images[format]
  const local = median(secondsOf(image, localFile))
  const bestPeer = bestPeerOf(image).seconds
  const rows = ways.map(({ name }) => {
    const attempts = attemptsOf(image, name)
    const seconds = attempts.map((attempt) => attempt.seconds)
    const spread = `${Math.min(...seconds).toFixed(2)} to ${Math.max(...seconds).toFixed(2)}`
    const requests = String(median(attempts.map((attempt) => attempt.requests)))
    const fetched = (median(attempts.map((attempt) => attempt.blobBytes)) / mebibyte).toFixed(1)
    const middle = median(seconds)
    return `| ${name} | ${middle.toFixed(2)} | ${spread} | ${(middle / bestPeer).toFixed(2)} | ${(middle / local).toFixed(2)} | ${requests} | ${fetched} |`
  })
  const { randomReads, firstBytes } = image
  const kibibytes = randomReads.map(({ blobBytes }) => blobBytes / 1024)
  return [
    '',
    `### ${format}: a layer of ${(fixture.layerBytes / mebibyte).toFixed(0)} MiB, ${(fixture.tarBytes / mebibyte).toFixed(0)} MiB of tar`,
    '',
    '| way | s | from, to | of the best peer | of the local file | requests | MiB fetched |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
    '',
    ...[cold, warm].map((name) => {
      const attempts = attemptsOf(image, name)
      const convert = median(attempts.map(({ convertSeconds }) => convertSeconds ?? NaN))
      const spans = (which: 'inflated' | 'inflatedAgain'): string =>
        String(median(attempts.map((attempt) => attempt.spans?.[which] ?? NaN)))
      return (
        `- ${name}: convert alone ${convert.toFixed(2)} s, peak RSS ${(peakOf(attempts) / mebibyte).toFixed(0)} MiB; ` +
        `${spans('inflated')} spans inflated, by first passes and for it, ${spans('inflatedAgain')} of them again`
      )
    }),
    `- first pass with download, hashes and disk: ${median(image.firstPassSeconds).toFixed(2)} s (wall); ` +
      inflateReport(image.inflateSeconds),
    `- index: ${(indexBytesOf(image) / 1024).toFixed(0)} KiB`,
    `- a random 64 KiB with the index but no chunks: ${median(kibibytes).toFixed(0)} KiB fetched (at most ${Math.max(...kibibytes).toFixed(0)}), ` +
      `${(1000 * median(randomReads.map(({ seconds }) => seconds))).toFixed(0)} ms with the start of dd`,
    `- first byte over 16 MiB/s, cold: ${firstBytes.fromNothing.seconds.toFixed(2)} s, ${String(firstBytes.fromNothing.traffic.requests)} requests, ` +
      `${(firstBytes.fromNothing.traffic.blobBytes / mebibyte).toFixed(2)} MiB; with token and manifest ${firstBytes.withManifest.seconds.toFixed(2)} s, ` +
      `${String(firstBytes.withManifest.traffic.requests)} requests, ${(firstBytes.withManifest.traffic.blobBytes / mebibyte).toFixed(2)} MiB`,
  ]
}
