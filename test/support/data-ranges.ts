import { output } from './mounted.js'

/** [start, end) of data, as SEEK_DATA and SEEK_HOLE tell it. */
export async function dataOf(path: string): Promise<readonly (readonly [start: number, end: number])[]> {
  const walk = `
import os, json, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size, at, data = os.fstat(fd).st_size, 0, []
while at < size:
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        assert error.errno == 6, error
        break
    at = os.lseek(fd, start, os.SEEK_HOLE)
    data.append([start, at])
print(json.dumps(data))`
  return JSON.parse(await output('python3', '-c', walk, path)) as never
}
