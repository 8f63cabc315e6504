import { Command, Option } from 'commander'
import type { ImageNode, NodeAttributes } from '../image/image.js'
import { coreOptions, withCore, type CoreFlags } from './core-options.js'
import { resolvePath } from './resolve-path.js'
import { isUtf8, LineOutput, parsePrintableName, printableName } from './output.js'

interface LsFlags extends CoreFlags {
  readonly long?: boolean
  readonly json?: boolean
  readonly recursive?: boolean
}

const noName = Buffer.alloc(0)
const slash = Buffer.from('/')

export function lsCommand(): Command {
  const command = new Command('ls')
    .description('list a directory of an image, without a mount')
    .argument('<reference>', 'the image: [registry/]repository[:tag][@digest], oci:DIR[:ref], …')
    .argument('[path]', 'a path inside the image', '/')
    .option('-l, --long', 'type, mode, owner, size and time of each')
    .option('-R, --recursive', 'everything below, too')
    .addOption(
      new Option('--json', 'one JSON object per line, each as soon as it is known').conflicts('long'),
    )
    .addHelpText(
      'after',
      `
Control characters, backslashes and what is not UTF-8 are shown as \\xNN, which every PATH takes; in JSON names are as they are, those that
are not UTF-8 also in nameBase64.

Without an index the entries come as the first pass meets them, in the order of the tar; with one, sorted.

Examples:
  registryfs ls quay.io/containerdisks/fedora:latest /disk
  registryfs ls -l docker.io/library/debian:12 /etc`,
    )
  return coreOptions(command).action(async (reference: string, path: string, flags: LsFlags) =>
    withCore(flags, async (core, signal) => {
      const image = await core.openImage(reference, { signal })
      const node = await resolvePath(image, path, { signal })
      const base = parsePrintableName(path.replace(/\/+$/, '').replace(/^\.?\/+/, ''))
      const isReady = (await image.layerStatus()).every((layer) => layer.state === 'ready')
      const output = new LineOutput(!isReady)
      if (node.type !== 'directory') await print(base, { node }, flags, output)
      else
        await printDirectory(node, flags.recursive === true ? base : noName, flags, {
          isReady,
          signal,
          output,
        })
      await output.flush()
    }),
  )
}

/**
 * Sorted when everything is known beforehand; otherwise each entry as the first pass meets it, directories side by
 * side, so that a disk image shows itself after the first bytes and not after the last.
 */
async function printDirectory(
  directory: ImageNode,
  prefix: Buffer,
  flags: LsFlags,
  context: { readonly isReady: boolean; readonly signal: AbortSignal; readonly output: LineOutput },
): Promise<void> {
  const { isReady, signal } = context
  const entries = isReady ? await directory.entries({ signal }) : directory.watch({ signal })
  const below: Promise<void>[] = []
  for await (const entry of entries) {
    const path = prefix.length === 0 ? entry.name : Buffer.concat([prefix, slash, entry.name])
    await print(path, entry, flags, context.output)
    if (flags.recursive !== true || entry.type !== 'directory') continue
    const walk = printDirectory(entry.node, path, flags, context)
    if (isReady) await walk
    else {
      // Reported by Promise.all below; until then it must not count as unhandled.
      walk.catch(() => undefined)
      below.push(walk)
    }
  }
  await Promise.all(below)
}

async function print(
  path: Buffer,
  entry: { readonly node: ImageNode },
  flags: LsFlags,
  output: LineOutput,
): Promise<void> {
  if (flags.json !== true && flags.long !== true) {
    await output.add(`${printableName(path)}\n`)
    return
  }
  // Not before it is needed: many entries are mere numbers.
  const { node } = entry
  const { attributes } = node
  if (flags.json === true) {
    const target = attributes.type === 'symlink' ? { target: node.linkName.toString() } : {}
    const { origin } = node
    const where = origin === undefined ? {} : { layer: origin.layer, offset: origin.dataOffset }
    const name = isUtf8(path)
      ? { name: path.toString() }
      : { name: printableName(path), nameBase64: path.toString('base64') }
    await output.add(
      `${JSON.stringify({ ...name, ...attributes, mtime: isoTime(attributes), ...target, ...where })}\n`,
    )
  } else {
    const target = attributes.type === 'symlink' ? ` -> ${printableName(node.linkName)}` : ''
    const owner = `${String(attributes.uid)} ${String(attributes.gid)}`.padEnd(9)
    const size = String(attributes.size).padStart(12)
    await output.add(
      `${modeText(attributes)} ${String(attributes.linkCount).padStart(2)} ${owner} ${size} ${isoTime(attributes).slice(0, 16).replace('T', ' ')} ${printableName(path)}${target}\n`,
    )
  }
}

function isoTime(attributes: NodeAttributes): string {
  const ms = attributes.mtimeSeconds * 1000
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${String(attributes.mtimeSeconds)}s`
}

const typeLetters = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
} as const

/** `drwxr-xr-x`, with the set-id and sticky bits as ls shows them. */
export function modeText(attributes: Pick<NodeAttributes, 'type' | 'mode'>): string {
  const { mode } = attributes
  const bit = (mask: number, letter: string): string => ((mode & mask) === 0 ? '-' : letter)
  const special = (execute: number, set: number, letter: string): string => {
    if ((mode & set) === 0) return bit(execute, 'x')
    return (mode & execute) === 0 ? letter.toUpperCase() : letter
  }
  return [
    typeLetters[attributes.type],
    bit(0o400, 'r') + bit(0o200, 'w') + special(0o100, 0o4000, 's'),
    bit(0o040, 'r') + bit(0o020, 'w') + special(0o010, 0o2000, 's'),
    bit(0o004, 'r') + bit(0o002, 'w') + special(0o001, 0o1000, 't'),
  ].join('')
}
