import type { Layer } from '../../src/layer/layer.js'

/** Aborts when a first pass has come so far in the blob. */
export function stopAt(layer: Layer, compressedBytes: number): AbortSignal {
  const controller = new AbortController()
  const timer = setInterval(() => {
    void layer.status().then((status) => {
      if (status.frontierCompressed < compressedBytes && status.state !== 'ready') return
      clearInterval(timer)
      controller.abort()
    })
  }, 1)
  return controller.signal
}
