import { bindings, type BindingFigures, type BindingMeasurements } from './bindings.js'
import { median } from './statistics.js'

/** As Markdown. */
export function bindingsReport({ bindings: figures, localFile }: BindingMeasurements): readonly string[] {
  const row = (
    what: string,
    unit: string,
    of: (each: BindingFigures) => readonly number[],
    digits = 0,
  ): string => {
    const [native, other] = bindings.map((binding) => median(of(figures[binding])))
    return `| ${what} | ${unit} | ${(native ?? NaN).toFixed(digits)} | ${(other ?? NaN).toFixed(digits)} | ${((native ?? NaN) / (other ?? NaN)).toFixed(2)} |`
  }
  return [
    '',
    '### The two bindings',
    '',
    '| what | unit | native | fuse-native | ratio |',
    '| --- | --- | ---: | ---: | ---: |',
    row('sequential in pieces of 128 KiB, from memory', 'MiB/s', ({ sequential }) => sequential),
    row('the same, opened a second time', 'MiB/s', ({ secondOpen }) => secondOpen),
    row('random 4 KiB direct, one job', 'reads/s', ({ randomOneJob }) => randomOneJob),
    row('random 4 KiB direct, four jobs', 'reads/s', ({ randomFourJobs }) => randomFourJobs),
    row('`ls -l` of 20,000 files, new mount, with the index', 's', ({ list }) => list, 2),
    row('the same from nothing', 's', ({ listFromNothing }) => listFromNothing, 2),
    row('64 KiB at a random place of qcow2, chunks cached', 'ms', ({ random64 }) => random64.qcow2, 2),
    row('64 KiB at a random place of raw, chunks cached', 'ms', ({ random64 }) => random64.raw, 2),
    '',
    `A local file in the page cache: ${median(localFile).toFixed(0)} MiB/s.`,
  ]
}
