import { constants } from 'node:os'
import { hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { DirectoryEntry, FileHandle, FuseOperations, Inode } from './binding.js'
import { failureErrno } from './failure.js'
import type { Handler, Reply } from './fuse-native-library.js'
import { accessModeMask, quickNames } from './kernel-constants.js'
import type { PathWalker } from './path-walker.js'
import { formatShownName } from './shown-name.js'
import { encodeEntryStat, encodeStat } from './stat-array.js'

/** fuse-native's C code copies a name into so many bytes, NUL included. */
const maxShownName = 1023

/** PATH_MAX: what libfuse2 gives readlink, NUL included. */
const maxShownTarget = 4095

/** Memory of libfuse that a request lends us until its answer. */
type Lent = Buffer

/**
 * fuse-native's requests by name, for a class that looks them up as `_op_<name>`. Its own versions are not used: getxattr
 * would copy more than was asked for, fgetattr forgets which file is open. Each request goes through `serve`, which answers
 * once whatever happens; an answer gives lent buffers back, and fuse-native then detaches them.
 */
export function fuseNativeHandlers(
  operations: FuseOperations,
  walker: PathWalker,
  log: Logger,
): Readonly<Record<string, Handler>> {
  /** `work` gives the answer; what it throws becomes a negative errno for `fail`. */
  const serve = (name: string, fail: (result: number) => void, work: () => Promise<() => void>): void => {
    const run = async (): Promise<() => void> => {
      try {
        return await work()
      } catch (error) {
        const result = -failureErrno(name, error, log)
        return () => {
          fail(result)
        }
      }
    }
    void run().then((answer) => {
      answer()
    })
  }

  const statAnswer = async (reply: Reply, inode: Promise<Inode>): Promise<() => void> => {
    const stat = encodeStat(await operations.getattr(await inode))
    return () => {
      reply(0, stat)
    }
  }

  return {
    getattr: (reply: Reply, path: string) => {
      serve('getattr', reply, async () => statAnswer(reply, walker.walk(path)))
    },

    fgetattr: (reply: Reply, _path: string, handle: FileHandle) => {
      serve('fgetattr', reply, async () => {
        const stat = encodeStat(await operations.getattrOfHandle(handle))
        return () => {
          reply(0, stat)
        }
      })
    },

    readlink: (reply: Reply, path: string) => {
      serve('readlink', reply, async () => {
        const target = formatShownName(await operations.readlink(await walker.walk(path)))
        if (Buffer.byteLength(target) > maxShownTarget)
          throw new RegistryFsError('NAME_TOO_LONG', 'link is too long')
        return () => {
          reply(0, target)
        }
      })
    },

    open: (reply: Reply, path: string, flags: number) => {
      serve('open', reply, async () => {
        if ((flags & accessModeMask) !== 0)
          throw new RegistryFsError('READ_ONLY', 'the file system is read-only')
        const handle = await operations.open(await walker.walk(path)).catch(async (error: unknown) => {
          if (!hasCode(error, 'GONE')) throw error
          return operations.open(await walker.walkAnew(path))
        })
        return () => {
          reply(0, handle)
        }
      })
    },

    read: (
      reply: Reply,
      _path: string,
      handle: FileHandle,
      target: Lent,
      length: number,
      low: number,
      high: number,
    ) => {
      const lent = target.buffer
      const fail = (result: number): void => {
        reply(result, 0, lent)
      }
      serve('read', fail, async () => {
        const bytes = await operations.read(handle, high * 0x1_0000_0000 + low, length)
        return () => {
          reply(bytes.copy(target), 0, lent)
        }
      })
    },

    release: (reply: Reply, _path: string, handle: FileHandle) => {
      serve('release', reply, async () => {
        operations.release(handle)
        return Promise.resolve(() => {
          reply(0)
        })
      })
    },

    opendir: (reply: Reply, path: string) => {
      serve('opendir', reply, async () => {
        const handle = await operations.opendir(await walker.walk(path))
        return () => {
          reply(0, handle)
        }
      })
    },

    // Without the handle: libfuse2 has it, fuse-native drops it. So a second one is opened for the time of the call; libfuse2
    // keeps the names for the first.
    readdir: (reply: Reply, path: string) => {
      serve('readdir', reply, async () => {
        const handle = await operations.opendir(await walker.walk(path))
        try {
          const { names, stats } = shownEntries(await operations.readdir(handle), path, log)
          return () => {
            reply(0, names, stats)
          }
        } finally {
          operations.releasedir(handle)
        }
      })
    },

    releasedir: (reply: Reply, _path: string, handle: FileHandle) => {
      serve('releasedir', reply, async () => {
        operations.releasedir(handle)
        return Promise.resolve(() => {
          reply(0)
        })
      })
    },

    getxattr: (reply: Reply, path: string, name: string, target: Lent) => {
      const lent = target.buffer
      const fail = (result: number): void => {
        reply(result, lent)
      }
      if (quickNames.test(name)) {
        const inode = walker.peek(path)
        const value = inode === undefined ? undefined : operations.peekxattr(inode, name)
        fail(value === undefined ? -constants.errno.ENODATA : giveValue(value, target))
        return
      }
      serve('getxattr', fail, async () => {
        const value = await operations.getxattr(await walker.walk(path), name)
        return () => {
          fail(giveValue(value, target))
        }
      })
    },

    listxattr: (reply: Reply, path: string, target: Lent) => {
      const lent = target.buffer
      const answer = (result: number): void => {
        reply(result, lent)
      }
      serve('listxattr', answer, async () => {
        const names = await operations.listxattr(await walker.walk(path))
        const list = Buffer.from(names.map((name) => `${name}\0`).join(''))
        return () => {
          answer(giveValue(list, target))
        }
      })
    },

    statfs: (reply: Reply) => {
      const { blockBytes, nameBytesMax } = operations.statfs()
      // struct statvfs in its order; nothing is free and nothing is full.
      reply(0, Uint32Array.of(blockBytes, blockBytes, 0, 0, 0, 0, 0, 0, 0, 0, nameBytesMax))
    },
  }
}

/** getxattr(2): a size of 0 asks for the length only; fewer bytes than the value has are ERANGE. */
function giveValue(value: Buffer, target: Lent): number {
  if (target.length === 0) return value.length
  if (target.length < value.length) return -constants.errno.ERANGE
  return value.copy(target)
}

function shownEntries(
  entries: readonly DirectoryEntry[],
  path: string,
  log: Logger,
): { names: string[]; stats: Uint32Array[] } {
  const names: string[] = []
  const stats: Uint32Array[] = []
  for (const { name, type, inode } of entries) {
    const shown = formatShownName(name)
    if (
      shown === '' ||
      shown.includes('\0') ||
      shown.includes('/') ||
      Buffer.byteLength(shown) > maxShownName
    ) {
      log.warn({ path }, 'an entry is left out: no file system can show its name')
      continue
    }
    names.push(shown)
    stats.push(encodeEntryStat(type, inode))
  }
  return { names, stats }
}
