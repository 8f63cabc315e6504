import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import type { DiffId } from '../src/util/digest.js'
import { imageOf, type Layer, type PackedImage } from '../test/support/images.js'

/** As KubeVirt wants its containerdisks: one layer with one file below /disk, which qemu's user may read. */
export async function containerdiskOf(disk: string): Promise<PackedImage> {
  return imageOf({ layers: [await layerOf(disk)] })
}

async function layerOf(disk: string): Promise<Layer> {
  const { size } = await stat(disk)
  const tar = pack()
  const tarHash = createHash('sha256')
  const parts: Buffer[] = []
  const owner = { uid: 107, gid: 107 }

  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const part of tar as AsyncIterable<Buffer>) {
      tarHash.update(part)
      yield part
    }
  }
  async function collect(compressed: AsyncIterable<Buffer>): Promise<void> {
    for await (const part of compressed) parts.push(part)
  }

  const compressing = pipeline(hashed, createGzip(), collect)
  const writing = (async () => {
    tar.entry({ ...owner, name: 'disk/', type: 'directory', mode: 0o755 })
    await pipeline(
      createReadStream(disk),
      tar.entry({ ...owner, name: 'disk/downloaded', size, mode: 0o440 }),
    )
    tar.finalize()
  })()
  await Promise.all([compressing, writing])
  return {
    bytes: Buffer.concat(parts),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    diffId: `sha256:${tarHash.digest('hex')}` as DiffId,
  }
}
