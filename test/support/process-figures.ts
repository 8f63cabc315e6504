import { readdir, readFile } from 'node:fs/promises'

/** Of a process: what it holds now, and the most it ever did. */
export async function residentMiB(pid: number, which: 'VmRSS' | 'VmHWM'): Promise<number> {
  const text = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  const kibibytes = new RegExp(`^${which}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
  if (kibibytes === undefined) throw new Error(`the kernel does not tell ${which}`)
  return Number(kibibytes) / 1024
}

/** Bytes that a process has given to the kernel so far: for a daemon of a mount, what it answered. */
export async function writtenBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${String(pid)}/io`, 'utf8')
  const bytes = /^wchar: (\d+)$/m.exec(text)?.[1]
  if (bytes === undefined) throw new Error('the kernel does not tell what is written')
  return Number(bytes)
}

export async function openDescriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${String(pid)}/fd`)).length
}

/** Of all its threads, in the kernel's hundredths. */
export async function cpuSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${String(pid)}/stat`, 'utf8')
  // Behind the name, which may have spaces: state is field 3, utime 14 and stime 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
