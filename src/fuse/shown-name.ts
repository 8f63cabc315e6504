import { isUtf8 } from 'node:buffer'

/**
 * fuse-native speaks UTF-8 strings only, names in images are any bytes. What is not UTF-8 is shown as `\xNN` (two
 * lower-case hexadecimal digits), one for each byte; a name that holds such a text by itself gets its backslash written
 * as `\x5c`. So every name is shown as one text, no two as the same, and all usual names (also systemd's `\x2d`) as they are.
 */
const escapePattern = /\\x(5c|[89a-f][0-9a-f])/g
const escapeStart = /\\(?=x(?:5c|[89a-f][0-9a-f]))/g

export function formatShownName(name: Buffer): string {
  if (isUtf8(name)) return escapeLiterals(name.toString())
  let text = ''
  let valid = 0
  let at = 0
  while (at < name.length) {
    const length = sequenceLength(name, at)
    if (length > 0) {
      at += length
      continue
    }
    text += escapeLiterals(name.toString('utf8', valid, at)) + escapeByte(name[at] ?? 0)
    valid = ++at
  }
  return text + escapeLiterals(name.toString('utf8', valid))
}

/** Undefined for a text that no name is shown as. */
export function parseShownName(text: string): Buffer | undefined {
  if (!text.includes('\\x')) return Buffer.from(text)
  const parts: Buffer[] = []
  let from = 0
  for (const match of text.matchAll(escapePattern)) {
    parts.push(Buffer.from(text.slice(from, match.index)), Buffer.from(match[1] ?? '', 'hex'))
    from = match.index + match[0].length
  }
  parts.push(Buffer.from(text.slice(from)))
  const name = Buffer.concat(parts)
  // Bytes that are UTF-8 together are never shown escaped: a file has one name.
  return formatShownName(name) === text ? name : undefined
}

function escapeLiterals(text: string): string {
  return text.includes('\\x') ? text.replace(escapeStart, '\\x5c') : text
}

function escapeByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`
}

/** Bytes of the UTF-8 sequence at `at` (RFC 3629), 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0
  const length =
    first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  if (length === 0 || at + length > bytes.length) return 0
  return isUtf8(bytes.subarray(at, at + length)) ? length : 0
}
