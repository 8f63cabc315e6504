import { spawnSync } from 'node:child_process'

/** One frame, by the zstd program. */
export function zstdFrame(content: Buffer, ...options: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync('zstd', ['-q', '-c', ...options], {
    input: content,
    maxBuffer: 1 << 30,
  })
  if (status !== 0) throw new Error(`zstd: ${stderr.toString()}`)
  return stdout
}

/** The same of what the program cannot tell the length of: its window is as large as the options say. */
export function streamedFrame(content: Buffer, ...options: readonly string[]): Buffer {
  return zstdFrame(content, ...options, '--no-content-size', '--stream-size=1073741824')
}

/** A frame for each piece of so many bytes. */
export function zstdFrames(content: Buffer, frameBytes: number): Buffer {
  const frames: Buffer[] = []
  for (let offset = 0; offset < content.length; offset += frameBytes)
    frames.push(zstdFrame(content.subarray(offset, offset + frameBytes), '-1'))
  return Buffer.concat(frames)
}

/** RFC 8878 3.1.2; pzstd writes them with a frame's length, zstd:chunked with its table of contents. */
export function skippableFrame(content: Buffer, kind = 0): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(0x184d2a50 + kind, 0)
  head.writeUInt32LE(content.length, 4)
  return Buffer.concat([head, content])
}
