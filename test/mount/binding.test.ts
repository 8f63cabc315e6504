import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { bindings } from '../support/bindings.js'
import { heldShell } from '../support/held-shell.js'
import { mountMemory, output, run } from '../support/mounted.js'
import { patternSource } from '../support/memory-images.js'

for (const { binding, flags } of bindings) {
  test(`${binding}: a mounted image looks like what it was made of`, { timeout: 120_000 }, async (t) => {
    const mount = await mountMemory(t, { args: flags })
    const host = `${mount.path}/127.0.0.1:5000`
    const image = `${host}/disks/vm:1`
    const list = async (path: string): Promise<string[]> =>
      (await output('ls', '-A', path)).split('\n').slice(0, -1)

    await t.test('the top lists aliases and configured hosts, and nothing is asked for', async () => {
      assert.deepEqual(await list(mount.path), ['.registryfs', 'broken', 'configured', 'vm'])
    })

    await t.test('a host lists what its catalog and its tags say', async () => {
      assert.deepEqual(await list(host), ['disks', 'moving:1', 'top:2'])
      assert.deepEqual(await list(`${host}/disks`), ['vm', 'vm:1', 'vm:latest'])
    })

    await t.test('a name without a tag is the latest image', async () => {
      assert.equal(await output('cat', `${host}/disks/vm/latest`), 'latest\n')
    })

    await t.test('the default registry needs no host', async () => {
      assert.equal(await output('cat', `${mount.path}/debian:12/etc/issue`), 'Debian 12\n')
      assert.equal(await output('cat', `${mount.path}/docker.io/library/debian:12/etc/issue`), 'Debian 12\n')
    })

    await t.test('an alias is the image', async () => {
      assert.equal(await output('cat', `${mount.path}/vm/hello`), 'hello\n')
    })

    await t.test("modes, owners, sizes, times, links and devices are the image's", async () => {
      const stat = async (name: string, format: string): Promise<string> =>
        (await output('stat', '-c', format, `${image}/${name}`)).trim()
      assert.equal(await stat('disk/disk.img', '%A %u %g %s'), '-r--r----- 107 107 5368709243')
      assert.equal(await stat('hello', '%Y'), '1234567890')
      assert.equal(await stat('link', '%F %s'), 'symbolic link 13')
      assert.equal(await stat('null', '%F %t %T'), 'character special file 1 3')
      assert.equal(await stat('fifo', '%F'), 'fifo')
      assert.equal(await stat('one', '%i %h'), await stat('two', '%i %h'))
      assert.equal((await output('readlink', `${image}/link`)).trim(), 'disk/disk.img')
    })

    await t.test('bytes beyond 4 GiB are those of the file', async () => {
      const source = patternSource(5 * 2 ** 30 + 123)
      const path = `${image}/disk/disk.img`
      for (const skip of [0, 4 * 2 ** 30 - 500, 5 * 2 ** 30 - 4096]) {
        const args = [
          `if=${path}`,
          'bs=1M',
          `skip=${String(skip)}`,
          'count=1M',
          'iflag=skip_bytes,count_bytes',
          'status=none',
        ]
        const { stdout } = await run('sh', ['-c', `dd ${args.join(' ')} | sha256sum`])
        const expected = createHash('sha256')
          .update(await source.read(skip, 2 ** 20))
          .digest('hex')
        assert.equal(stdout.split(' ')[0], expected, `at ${String(skip)}`)
      }
      assert.equal((await run('sh', ['-c', `tail -c 3 ${path} | od -An -tx1`])).code, 0)
    })

    await t.test('a file is the same read at once and by many readers', async () => {
      const expected = createHash('sha256')
        .update(await patternSource(8 * 2 ** 20).read(0, 8 * 2 ** 20))
        .digest('hex')
      const sums = await Promise.all(
        Array.from({ length: 8 }, async () => output('sha256sum', `${image}/large`)),
      )
      for (const sum of sums) assert.equal(sum.split(' ')[0], expected)
    })

    await t.test('names are bytes; fuse-native shows those that are not UTF-8 escaped', async () => {
      const shown = binding === 'native' ? 'not\\377utf8' : 'not\\\\xffutf8'
      const inShell = async (script: string): Promise<string> =>
        output('sh', '-c', `cd ${image}; n=$(printf '${shown}'); ${script}`)
      assert.equal(await inShell('ls -A | grep -acxF "$n"'), '1\n')
      assert.equal(await inShell('cat "$n"'), 'bytes\n')
      assert.equal(await inShell('test "$(readlink to-bytes)" = "$n"; cat to-bytes'), 'bytes\n')
      const names = await list(image)
      for (const name of ['systemd\\x2dname', 'café']) assert.ok(names.includes(name), name)
      assert.equal(await output('cat', `${image}/systemd\\x2dname`), 'literal\n')
      assert.equal(await output('cat', `${image}/café`), 'utf-8\n')
      assert.equal((await run('cat', [`${image}/caf\\xc3\\xa9`])).code, 1)
    })

    await t.test('a directory of ten thousand is listed whole', async () => {
      const names = await list(`${image}/many`)
      assert.equal(names.length, 10_000)
      assert.deepEqual([names[0], names.at(-1)], ['entry-00000', 'entry-09999'])
      const types = await output('find', `${image}/many`, '-type', 'f', '-name', '*0')
      assert.equal(types.split('\n').length, 1_001)
    })

    await t.test("xattrs explain every node, and keep the image's own", async () => {
      const facts = await output('getfattr', '-d', '-m', 'user', `${image}/hello`)
      for (const fact of [
        'user.greeting="hi"',
        'user.registryfs.image="127.0.0.1:5000/disks/vm:1"',
        'user.registryfs.size="6"',
        'user.registryfs.offset="1024"',
      ]) {
        assert.ok(facts.includes(fact), fact)
      }
      for (const path of [
        mount.path,
        host,
        `${host}/disks`,
        `${mount.path}/broken`,
        `${mount.path}/.registryfs/status.json`,
      ]) {
        assert.equal((await run('getfattr', ['-d', '-m', 'user.registryfs', path])).code, 0, path)
      }
      const { stderr } = await run('getfattr', ['-n', 'user.none', `${image}/hello`])
      assert.match(stderr, /No such attribute/)
    })

    await t.test('every failure has its errno, and its reason in an xattr', async () => {
      const expected = {
        UNAUTHORIZED: 'Permission denied',
        TIMEOUT: 'Connection timed out',
        CORRUPT: 'Input/output error',
        UNSUPPORTED: 'Operation not supported',
        GONE: 'Stale file handle',
        LIMIT: 'File too large',
        BUG: 'Input/output error',
      }
      for (const [name, message] of Object.entries(expected)) {
        const { code, stderr } = await run('cat', [`${image}/failing/${name}`])
        assert.equal(code, 1)
        assert.ok(stderr.includes(message), stderr)
        const reason = await output(
          'getfattr',
          '--only-values',
          '-n',
          'user.registryfs.error',
          `${image}/failing/${name}`,
        )
        assert.match(reason, name === 'BUG' ? /INTERNAL: a bug of ours/ : new RegExp(`${name}: made to fail`))
      }
      assert.match(mount.log(), /a bug of ours\\n +at /)
    })

    await t.test('what is not there, not allowed or not possible says so', async () => {
      const says = async (pattern: RegExp, command: string, ...args: string[]): Promise<void> => {
        const { code, stderr } = await run(command, args)
        assert.notEqual(code, 0)
        assert.match(stderr, pattern)
      }
      await says(/No such file/, 'cat', `${image}/nothing`)
      await says(/No such file/, 'ls', `${host}/disks/vm:9`)
      await says(/No such file/, 'ls', `${mount.path}/UPPER`)
      await says(/Permission denied/, 'ls', `${host}/secret:1`)
      await says(/Input\/output error/, 'ls', `${mount.path}/broken`)
      await says(/Not a directory/, 'cat', `${image}/hello/x`)
      await says(/Is a directory/, 'cat', image)
      await says(/Read-only file system/, 'mkdir', `${image}/new`)
      await says(/Read-only file system/, 'touch', `${image}/hello`)
    })

    await t.test('status.json is whole JSON at every read, and names the last errors', async () => {
      const read = async (): Promise<{
        hello: string
        errors: { code: string }[]
        mount: { requests: object }
      }> => JSON.parse(await output('cat', `${mount.path}/.registryfs/status.json`)) as never
      for (let times = 0; times < 20; times++) assert.equal((await read()).hello, 'status')
      // What is told is at most two seconds old.
      await new Promise((resolve) => setTimeout(resolve, 2_100))
      const status = await read()
      assert.ok(status.errors.some((error) => error.code === 'UNAUTHORIZED'))
    })

    await t.test('the mount is read-only, without set-user-ID and devices', async () => {
      const line = (await readFile('/proc/self/mountinfo', 'utf8'))
        .split('\n')
        .find((one) => one.includes(mount.path))
      assert.match(line ?? '', /ro,nosuid,nodev.* - fuse\.registryfs memory /)
    })
  })

  test(
    `${binding}: a moved tag shows its new image whole, but not while a file of it is open`,
    { timeout: 60_000 },
    async (t) => {
      const mount = await mountMemory(t, { args: flags })
      const path = `${mount.path}/127.0.0.1:5000/moving:1/version`
      assert.equal(await output('cat', path), '1\n')
      const open = await heldShell(t, `exec 3< ${path}`, `cat <&3; cat ${path}`)
      mount.signal('SIGUSR2')
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      assert.equal(await open.goOn(), '1\n1\n')
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      // The kernel must not cut the longer file off at the old size.
      assert.equal(await output('cat', path), 'version two\n')
    },
  )
}
