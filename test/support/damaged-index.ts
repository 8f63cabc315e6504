import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerFixture } from './layer-fixture.js'

/** Makes an index whose last window is damaged: a layer that has it is ready, and begins anew when its end is read (CORRUPT). */
export async function makeDamagedIndex(fixture: LayerFixture): Promise<void> {
  await (await fixture.open()).ready()
  const path = join(fixture.directory, 'indexes', 'layer.idx')
  const bytes = await readFile(path)
  const place = bytes.length - 20
  bytes.writeUInt8(bytes.readUInt8(place) ^ 0x10, place)
  await writeFile(path, bytes)
}
