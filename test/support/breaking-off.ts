import { RegistryFsError } from '../../src/util/errors.js'
import type { LayerFixture } from './layer-fixture.js'

/** What lies behind the first 8 MiB of a blob does not come, and with the call that is returned it fails. */
export function breakingOff({ blob }: LayerFixture): () => void {
  let breakOff = (): void => undefined
  const broken = new Promise<never>((_, reject) => {
    breakOff = () => {
      reject(new RegistryFsError('UNAVAILABLE', 'down'))
    }
  })
  broken.catch(() => undefined)
  blob.before = async (offset) => (offset >= 8 << 20 ? broken : undefined)
  return breakOff
}
