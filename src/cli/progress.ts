import { formatBytes } from '../util/range.js'

export interface Progress {
  update(doneBytes: number, totalBytes: number): void
  stop(): void
}

const silent: Progress = { update: () => undefined, stop: () => undefined }

/** A bar with bytes, rate and time left on stderr; nothing when that is no terminal. */
export async function startProgress(name: string): Promise<Progress> {
  if (!process.stderr.isTTY) return silent
  const { SingleBar } = await import('cli-progress')
  const bar = new SingleBar({
    format: `${name} {bar} {percentage}% {done}/{all} {rate}/s {eta_formatted} left`,
    etaBuffer: 50,
    hideCursor: true,
    clearOnComplete: true,
    stream: process.stderr,
  })
  const started = performance.now()
  bar.start(1, 0, { done: '0 B', all: '', rate: '' })
  return {
    update: (doneBytes, totalBytes) => {
      bar.setTotal(Math.max(1, totalBytes))
      const seconds = (performance.now() - started) / 1000
      bar.update(doneBytes, {
        done: formatBytes(doneBytes),
        all: formatBytes(totalBytes),
        rate: formatBytes(Math.round(doneBytes / Math.max(seconds, 0.001))),
      })
    },
    stop: () => {
      bar.stop()
    },
  }
}
