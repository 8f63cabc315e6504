import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { digestOf } from '../../src/util/digest.js'
import { indexOf, type PackedImage } from './images.js'

/** No test image has times after this. */
const firstTimeOfNow = 1_600_000_000n * 1_000_000_000n

/**
 * Reads places to walk, one a line, and writes into a file what stat, readlink, listxattr and read tell of every path
 * below it. Names are bytes, and everything ends with a NUL. With an image umoci unpacks that there first, and it is removed
 * afterwards: from a process as small as this one a program starts sooner than from Node's.
 */
const program = `
import hashlib, os, shutil, stat, subprocess, sys

def unpack(image, root):
    command = ['umoci', 'raw', 'unpack', '--image', image, root]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    return '' if ran.returncode == 0 else ran.stderr.decode('utf-8', 'replace').strip()[-300:].replace('\\n', ' ') or 'it fails'

def walk(root, to):
    with open(to, 'wb') as out:
        for top, dirs, files in os.walk(root, onerror=lambda e: out.write(str(e).encode() + b'\\0\\0\\0')):
            for name in dirs + files:
                path = os.path.join(top, name)
                s = os.lstat(path)
                isdir = stat.S_ISDIR(s.st_mode)
                link = os.readlink(path) if stat.S_ISLNK(s.st_mode) else b''
                md5 = hashlib.md5(open(path, 'rb').read()).hexdigest() if stat.S_ISREG(s.st_mode) else ''
                rdev = '%d:%d' % (os.major(s.st_rdev), os.minor(s.st_rdev)) if stat.S_ISCHR(s.st_mode) else ''
                keys = [k for k in sorted(os.listxattr(path, follow_symlinks=False)) if not k.startswith('user.registryfs.')]
                xattrs = ','.join('%s=%s' % (k, os.getxattr(path, k, follow_symlinks=False).hex()) for k in keys)
                fields = [stat.filemode(s.st_mode)[0], '%o' % (s.st_mode & 0o7777), s.st_uid, s.st_gid,
                          0 if isdir else s.st_size, s.st_mtime_ns, rdev, xattrs, md5, '' if isdir else s.st_nlink]
                text = b'|'.join([str(f).encode() for f in fields] + [link])
                out.write(os.path.relpath(path, root) + b'\\0' + (b'' if isdir else str(s.st_ino).encode()) + b'\\0' + text + b'\\0')

for line in sys.stdin:
    root, to, image = line.rstrip('\\n').split('\\t')
    refusal = unpack(image, root) if image else ''
    if not refusal: walk(os.fsencode(root), to)
    if image: shutil.rmtree(root, ignore_errors=True)
    print(refusal, flush=True)
`

/** One path of an image: what names the same file has the same identity, and directories have none. */
export interface WalkedPath {
  readonly path: string
  readonly identity: unknown
  /** Type, mode, owner, group, size, time, device, xattrs, content, links, target. */
  readonly fields: string
}

/** One process that walks many trees. */
export class Walker {
  readonly #child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] })
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  readonly #scratch: string

  /** `scratch` is a file that is written over. */
  constructor(t: TestContext, scratch: string) {
    this.#scratch = scratch
    t.after(async () => {
      const gone = once(this.#child, 'exit')
      this.#child.stdin.end()
      const killer = setTimeout(() => this.#child.kill('SIGKILL'), 5000)
      if (this.#child.exitCode === null && this.#child.signalCode === null) await gone
      clearTimeout(killer)
    })
  }

  async walk(root: string): Promise<readonly string[]> {
    const walked = await this.#walk(root, '')
    if (typeof walked === 'string') throw new Error(`the walk through ${root} failed: ${walked}`)
    return walked
  }

  /** What umoci makes of an image, at a place that is not there before and afterwards. Text is why umoci refuses it. */
  async unpacked(image: string, root: string): Promise<readonly string[] | string> {
    return this.#walk(root, image)
  }

  async #walk(root: string, image: string): Promise<readonly string[] | string> {
    this.#child.stdin.write(`${root}\t${this.#scratch}\t${image}\n`)
    const line = await this.#lines.next()
    if (line.done === true) return 'it has ended'
    if (line.value !== '') return line.value
    const values = (await readFile(this.#scratch, 'latin1')).split('\0')
    const paths: WalkedPath[] = []
    for (let i = 0; i + 2 < values.length; i += 3)
      paths.push({ path: values[i] ?? '', identity: values[i + 1] ?? '', fields: values[i + 2] ?? '' })
    return linesOf(paths)
  }
}

/** Sorted; each line ends with the first of the names that are the same file. */
export function linesOf(paths: readonly WalkedPath[]): readonly string[] {
  const first = new Map<unknown, string>()
  return [...paths]
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path, identity, fields }) => {
      if (identity === '') return `${path}\t${fields}`
      if (!first.has(identity)) first.set(identity, path)
      return `${path}\t${fields}|${String(first.get(identity))}`
    })
}

/**
 * What is in one and not in the other, side by side; '' when they are the same. Where umoci makes up a directory that no
 * layer names, that has attributes of the moment (time, setgid and group of its parent), and its parent the time of the
 * moment: neither specification nor layer say so, and these are not compared.
 */
export function differencesOf(umoci: readonly string[], ours: readonly string[]): string {
  const made = new Set(ours.filter((line) => line.endsWith(madeUp)).map(pathOf))
  const touched = new Set(umoci.filter(isOfNow).map(pathOf))
  const comparable = (line: string): string => {
    const path = pathOf(line)
    if (made.has(path) && touched.has(path)) return `${path}\td, made up`
    if (!touched.has(path)) return line
    return line
      .split('|')
      .map((value, i) => (i === 5 ? 'now' : value))
      .join('|')
  }
  const expected = new Set(umoci.map(comparable))
  const actual = new Set(ours.map(comparable))
  return [
    ...[...expected].filter((line) => !actual.has(line)).map((line) => `umoci:      ${line}`),
    ...[...actual].filter((line) => !expected.has(line)).map((line) => `registryfs: ${line}`),
  ]
    .sort((a, b) => (a.slice(12) < b.slice(12) ? -1 : 1))
    .join('\n')
}

const madeUp = '\td|755|0|0|0|0|||||'
const pathOf = (line: string): string => line.slice(0, line.indexOf('\t'))

function isOfNow(line: string): boolean {
  const values = line.slice(line.indexOf('\t') + 1).split('|')
  return values[0] === 'd' && BigInt(values[5] ?? '0') > firstTimeOfNow
}

/** An OCI layout of many images, tagged i0, i1 and so on. */
export async function writeImages(oci: string, images: readonly PackedImage[]): Promise<void> {
  const blobs = join(oci, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  for (const image of images) {
    for (const bytes of [image.manifest, ...image.blobs])
      await writeFile(join(blobs, digestOf(bytes).slice('sha256:'.length)), bytes)
  }
  const index = indexOf(
    images.map((image, i) => ({
      image,
      annotations: { 'org.opencontainers.image.ref.name': `i${String(i)}` },
    })),
  )
  await writeFile(join(oci, 'index.json'), index.bytes)
  await writeFile(join(oci, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}
