import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { output } from '../support/mounted.js'
import { complaints, mountImages, sha256Of, untilReady } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const readers = 64

/**
 * So many threads read all of a file, in pieces of 128 KiB and past the page cache, so that each piece is a request of
 * its own. When the first one is done, how far are the others?
 */
const program = `
import hashlib, json, mmap, os, sys, threading
path, count = sys.argv[1], int(sys.argv[2])
piece = 128 * 1024
done, sums, others, lock = [0] * count, [None] * count, [], threading.Lock()
start = threading.Barrier(count)
def read(reader):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer, hashed = mmap.mmap(-1, piece), hashlib.sha256()
    start.wait()
    while True:
        got = os.preadv(fd, [buffer], done[reader])
        if got == 0: break
        hashed.update(memoryview(buffer)[:got])
        done[reader] += got
    with lock:
        if not others: others.extend(done)
    sums[reader] = hashed.hexdigest()
threads = [threading.Thread(target=read, args=(reader,)) for reader in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({'sums': sums, 'others': others}))
`

interface Outcome {
  readonly sums: readonly string[]
  /** Bytes that each had when the first one had all. */
  readonly others: readonly number[]
}

test(
  '64 readers of one file, cold: one pass, the right bytes for all, and nobody is left behind',
  { timeout: 240_000 },
  async (t) => {
    const disk = sampleData('mixed', 18 << 20)
    const layer = gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))
    const registry = await FakeRegistry.start({ faults: { bytesPerSecond: 3 << 20 } })
    t.after(async () => registry.stop())
    const { layerDigests } = registry.addImage('disk', 'v1', { layers: [layer] })
    const cache = join(await temporaryDirectory(t), 'cache')
    const mount = await mountImages(t, { cache, images: [`d=${registry.host}/disk:v1`] })
    const path = join(mount.path, 'd/disk/downloaded')
    const { sums, others } = JSON.parse(
      await output('python3', '-c', program, path, String(readers)),
    ) as Outcome
    assert.deepEqual(new Set(sums), new Set([sha256Of(disk)]))
    assert.equal(sums.length, readers)
    await untilReady(mount)
    const sent = registry.requests
      .filter((one) => one.path.endsWith(layerDigests[0] ?? '?'))
      .reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    assert.equal(sent, layer.bytes.length)
    t.diagnostic(
      `the last of ${String(readers)} has ${String(Math.min(...others))} of ${String(disk.length)} bytes when the first is done`,
    )
    assert.ok(Math.min(...others) > disk.length / 2, 'one is left behind')
    assert.equal(await mount.stop(), 0)
    assert.deepEqual(complaints(mount.log()), [])
  },
)
