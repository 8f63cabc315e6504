/** A program for mount tests: mounts at its argument while there is one descriptor left, which is that of the mount. */
import { closeSync, openSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { nativeBinding } from '../../src/fuse/native-binding.js'
import { TreeOperations } from '../../src/fuse/operations.js'
import { Tree } from '../../src/tree/tree.js'
import { describeError } from '../../src/util/errors.js'
import { silentLogger } from '../../src/util/log.js'
import { MemoryImages } from './memory-images.js'

const images = new MemoryImages()
const tree = new Tree({
  images,
  registry: images,
  status: async () => Promise.resolve({}),
  defaultHost: 'docker.io',
  configuredHosts: [],
  aliases: new Map(),
})
const operations = new TreeOperations(tree, { deadlineMs: 1000, log: silentLogger })
const mountPoint = process.argv[2] as string
// What Node opens when it is first needed.
await stat('/dev/fuse')
console.log('begins')
const taken: number[] = []
try {
  for (;;) taken.push(openSync('/dev/null', 'r'))
} catch {
  closeSync(taken.pop() as number)
}
const problem = await nativeBinding
  .mount(mountPoint, operations, {
    source: 'test',
    allowOther: false,
    defaultPermissions: false,
    noExec: false,
    passthrough: false,
    log: silentLogger,
  })
  .then(() => 'no error', describeError)
for (const descriptor of taken) closeSync(descriptor)
const found = await stat(mountPoint).then(
  () => 'well',
  (error: unknown) => (error as NodeJS.ErrnoException).code,
)
console.log(JSON.stringify({ problem, found }))
process.exit()
