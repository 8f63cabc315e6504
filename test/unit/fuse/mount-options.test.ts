import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAliases } from '../../../src/cli/aliases.js'
import { isMountHelperCall, parseHelperCall } from '../../../src/cli/mount-helper.js'
import { parseMountOptions } from '../../../src/cli/mount-options.js'
import { mountOptionList } from '../../../src/fuse/fuse-native.js'
import { formatReference } from '../../../src/registry/reference.js'
import { silentLogger } from '../../../src/util/log.js'

const strict = { fromMount: false, sloppy: false }
const fromMount = { fromMount: true, sloppy: false }

test('generic options mean nothing more to us', () => {
  const text =
    'defaults,ro,nosuid,nodev,_netdev,noauto,nofail,user,noatime,x-systemd.automount,x-gvfs-show,comment=a,X-y=z'
  assert.deepEqual(parseMountOptions([text, ''], strict), { flags: [], images: [] })
})

test('our options become flags', () => {
  const text =
    'allow_other,cache_dir=/var/c,registry=quay.io,insecure=a:1,insecure=b,image=f=quay.io/x:1,image=debian,tag_ttl=5m'
  assert.deepEqual(parseMountOptions([text], strict), {
    flags: [
      '--allow-other',
      '--cache-dir=/var/c',
      '--registry=quay.io',
      '--insecure=a:1',
      '--insecure=b',
      '--tag-ttl=5m',
    ],
    images: ['f=quay.io/x:1', 'debian'],
  })
})

test('a comma in a value is escaped', () => {
  assert.deepEqual(parseMountOptions(['cache_dir=/a\\,b\\\\c,allow_other'], strict).flags, [
    '--cache-dir=/a,b\\c',
    '--allow-other',
  ])
})

test('what we cannot do is refused by name', () => {
  for (const [text, pattern] of [
    ['rw', /read-only/],
    ['suid', /nosuid/],
    ['dev', /nodev/],
    ['remount', /remount/],
    ['bogus', /unknown mount option "bogus"/],
    ['bogus=1', /unknown mount option "bogus=1"/],
    ['cache_dir', /needs a value/],
    ['allow_other=1', /takes no value/],
    ['image=', /needs a value/],
  ] as const) {
    assert.throws(() => parseMountOptions([text], strict), pattern, text)
  }
})

test('mount(8) and mount.fuse say rw, dev and suid where the user says nothing', () => {
  assert.deepEqual(parseMountOptions(['rw,dev,suid'], fromMount).flags, [])
})

test("the helper turns mount(8)'s call into ours", () => {
  const { mountArguments } = parseHelperCall([
    'src',
    '/mnt/x',
    '-o',
    'ro,allow_other,image=a=b:c',
    '-n',
    '-v',
    '-t',
    'fuse.registryfs',
  ])
  assert.deepEqual(mountArguments, ['--daemon', '--source', 'src', '--allow-other', '--', '/mnt/x', 'a=b:c'])
})

test('mount -f does nothing, mount -s passes over what is unknown', () => {
  assert.equal(parseHelperCall(['src', '/mnt/x', '-f']).mountArguments, undefined)
  assert.ok(parseHelperCall(['src', '/mnt/x', '-sn', '-o', 'bogus']).mountArguments)
  assert.throws(() => parseHelperCall(['src', '/mnt/x', '-o', 'bogus']), /bogus/)
  assert.throws(() => parseHelperCall(['src', '/mnt/x', '-N', '/proc/1/ns/mnt']), /namespace/)
  assert.throws(() => parseHelperCall(['src']), /usage/)
})

test('a helper call is told from a command', () => {
  assert.ok(isMountHelperCall('mount.fuse.registryfs', ['src', '/mnt', '-o', 'rw']))
  assert.ok(isMountHelperCall('registryfs', ['src', '/mnt', '-o', 'rw']))
  for (const args of [
    ['mount', '/mnt', '-o', 'image=x'],
    ['ls', '/x'],
    ['umount', '/mnt'],
    [],
    ['--help'],
    ['bogus'],
  ]) {
    assert.ok(!isMountHelperCall('registryfs', args), args.join(' '))
  }
})

test('the kernel is told ro, nosuid and nodev whatever the device is called', () => {
  const options = {
    source: 'a,rw,b\\',
    allowOther: true,
    defaultPermissions: true,
    noExec: false,
    passthrough: false,
    log: silentLogger,
  }
  const list = mountOptionList(options).split(',')
  assert.equal(list[0], 'a_rw_b_')
  for (const option of ['ro', 'nosuid', 'nodev', 'use_ino', 'allow_other', 'default_permissions'])
    assert.ok(list.includes(option))
})

test('images have an alias, their own or the last component', () => {
  const aliases = parseAliases(
    ['f=quay.io/containerdisks/fedora:40', 'quay.io/a/b', 'debian:12'],
    'docker.io',
  )
  assert.deepEqual(
    [...aliases].map(([alias, reference]) => `${alias} ${formatReference(reference)}`),
    ['f quay.io/containerdisks/fedora:40', 'b quay.io/a/b:latest', 'debian docker.io/library/debian:12'],
  )
  assert.throws(() => parseAliases(['debian:1', 'debian:2'], 'docker.io'), /two images/)
  assert.throws(() => parseAliases(['a/b=debian'], 'docker.io'), /cannot be an alias/)
  assert.throws(() => parseAliases(['.registryfs=debian'], 'docker.io'), /cannot be an alias/)
  assert.throws(() => parseAliases(['x=UPPER'], 'docker.io'), /not an image reference/)
})
