import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProxyRules } from '../../../src/registry/proxy.js'
import { hasCode } from '../../../src/util/errors.js'

function chosen(environment: NodeJS.ProcessEnv, url: string): string | undefined {
  return new ProxyRules(environment).find(new URL(url))?.url.origin
}

test('HTTPS_PROXY and HTTP_PROXY count in both cases, the lower one first', () => {
  const upper = { HTTPS_PROXY: 'http://s:1', HTTP_PROXY: 'h:2' }
  assert.equal(chosen(upper, 'https://quay.io/v2/'), 'http://s:1')
  assert.equal(chosen(upper, 'http://quay.io/v2/'), 'http://h:2')
  assert.equal(chosen({ ...upper, https_proxy: 'https://t:3' }, 'https://quay.io/v2/'), 'https://t:3')
  assert.equal(chosen({ ...upper, https_proxy: '' }, 'https://quay.io/v2/'), undefined)
  assert.equal(chosen({}, 'https://quay.io/v2/'), undefined)
})

test('a CGI request cannot name the proxy', () => {
  assert.equal(chosen({ HTTP_PROXY: 'h:2', REQUEST_METHOD: 'GET' }, 'http://quay.io/'), undefined)
  assert.equal(chosen({ http_proxy: 'h:2', REQUEST_METHOD: 'GET' }, 'http://quay.io/'), 'http://h:2')
})

test('NO_PROXY takes names with what is below them, ports, addresses and networks', () => {
  const list =
    'example.com, .corp.test,*.star.test one.test:5000,10.0.0.0/8,fd00::/8,192.0.2.7,[2001:db8::1]:443'
  const direct = (url: string): boolean => chosen({ HTTPS_PROXY: 'p:1', NO_PROXY: list }, url) === undefined
  const expected: Record<string, boolean> = {
    'https://example.com/': true,
    'https://EXAMPLE.com./': true,
    'https://a.b.example.com:5000/': true,
    'https://badexample.com/': false,
    'https://x.corp.test/': true,
    'https://x.star.test/': true,
    'https://one.test:5000/': true,
    'https://one.test/': false,
    'https://10.200.3.4/': true,
    'https://11.0.0.1/': false,
    'https://[fd12::1]:5000/': true,
    'https://[fe80::1]/': false,
    'https://192.0.2.7/': true,
    'https://1192.0.2.7.nip.test/': false,
    'https://[2001:db8::1]/': true,
    'https://[2001:db8::1]:444/': false,
  }
  for (const [url, is] of Object.entries(expected)) assert.equal(direct(url), is, url)
  assert.equal(chosen({ HTTPS_PROXY: 'p:1', NO_PROXY: '*' }, 'https://quay.io/'), undefined)
})

test('this machine is never asked for through a proxy', () => {
  for (const host of ['localhost:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000'])
    assert.equal(chosen({ HTTPS_PROXY: 'p:1', HTTP_PROXY: 'p:1' }, `http://${host}/`), undefined, host)
})

test('credentials leave the URL, and no error shows them', () => {
  const proxy = new ProxyRules({ HTTPS_PROXY: 'http://us%40er:pa%3Ass@p:1' }).find(
    new URL('https://quay.io/'),
  )
  assert.equal(proxy?.url.href, 'http://p:1/')
  assert.equal(proxy.authorization, `Basic ${Buffer.from('us@er:pa:ss').toString('base64')}`)
  for (const value of ['socks5://u:secret@p:1', 'http://u:secret@[bad'])
    assert.throws(
      () => new ProxyRules({ HTTPS_PROXY: value }),
      (error) => hasCode(error, 'INVALID') && !String(error).includes('secret'),
    )
})
