/**
 * Sockets that read into one buffer. Node allocates 64 KiB for each read of a socket, and each 64 MiB of such memory make V8
 * collect all its garbage, which for a layer costs as much as inflating it. With net's `onread` what has arrived is
 * handed on at once and then overwritten.
 */
import type { OnReadOpts, Socket } from 'node:net'
import type { buildConnector } from 'undici'

/** More than the kernel usually has at a time; TLS hands over 16 KiB. */
const readBytes = 256 << 10

const shared = Buffer.allocUnsafeSlow(readBytes)
/** What `read` returns next, of the sockets that take part. */
const arrived = new WeakMap<Socket, Buffer>()

/** For net.connect and tls.connect. */
export const onread: OnReadOpts = {
  buffer: shared,
  callback: function (this: Socket, length: number): boolean {
    const bytes = shared.subarray(0, length)
    // In order: what was left before comes first.
    if (this.readableLength > 0) return this.push(Buffer.from(bytes))
    arrived.set(this, bytes)
    this.emit('readable')
    return arrived.delete(this) ? this.push(Buffer.from(bytes)) : true
  },
}

/** The connector whose sockets have `onread`, for undici, which takes with `read` what is there when told that it is readable. */
export function readingAtOnce(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...result) => {
      const [error, socket] = result
      if (error === null) handOver(socket)
      callback(...result)
    })
  }
}

function handOver(socket: Socket): void {
  const read = socket.read.bind(socket)
  const unshift = socket.unshift.bind(socket)
  socket.read = (size?: number): unknown => {
    const bytes = arrived.get(socket)
    if (bytes === undefined) return read(size)
    arrived.delete(socket)
    return bytes
  }
  // What the parser gives back for later must not lie where the next bytes come.
  socket.unshift = (chunk: Buffer): void => {
    unshift(Buffer.from(chunk))
  }
}
