import { readFileSync } from 'node:fs'

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface MountInfo {
  readonly id: number
  /** `major:minor`, as /sys/class/bdi names it. */
  readonly device: string
  readonly mountPoint: string
  readonly type: string
  readonly source: string
}

/** Never touches a mount, and never waits for one: procfs answers from the kernel's memory. */
export function readMountInfo(): readonly MountInfo[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'latin1'))
}

/** The mount that is on top at exactly this path. */
export function findMount(mountPoint: string, mounts = readMountInfo()): MountInfo | undefined {
  return mounts.findLast((mount) => mount.mountPoint === mountPoint)
}

export function parseMountInfo(text: string): readonly MountInfo[] {
  const mounts: MountInfo[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    const separator = fields.indexOf('-')
    const [id, , device, , mountPoint] = fields
    if (separator < 5 || id === undefined || device === undefined || mountPoint === undefined) continue
    mounts.push({
      id: Number(id),
      device,
      mountPoint: unescape(mountPoint),
      type: fields[separator + 1] ?? '',
      source: unescape(fields[separator + 2] ?? ''),
    })
  }
  return mounts
}

/** The kernel writes space, tab, newline and backslash as `\ooo`; everything else as raw bytes. */
function unescape(field: string): string {
  const raw = field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
  return Buffer.from(raw, 'latin1').toString()
}
