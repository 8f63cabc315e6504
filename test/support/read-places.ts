import { output } from './mounted.js'

const program = `
import hashlib, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for place in sys.argv[2:]:
    offset, length = map(int, place.split('+'))
    got = b''
    while len(got) < length:
        more = os.pread(fd, length - len(got), offset + len(got))
        assert more, place
        got += more
    print(hashlib.sha256(got).hexdigest())
`

/** sha256 of parts of a file, each read by itself. */
export async function hashesAt(
  path: string,
  places: readonly { readonly offset: number; readonly length: number }[],
): Promise<readonly string[]> {
  const words = places.map(({ offset, length }) => `${String(offset)}+${String(length)}`)
  return (await output('python3', '-c', program, path, ...words)).trim().split('\n')
}
