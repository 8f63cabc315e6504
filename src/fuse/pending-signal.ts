import { readFileSync } from 'node:fs'

/**
 * Whether a thread has a signal to take, by the numbers that proc(5) gives in its status. True also where that cannot be
 * seen: it has ended, hides, or is of another PID namespace (0).
 */
export function hasPendingSignal(pid: number): boolean {
  let status: string
  try {
    status = readFileSync(`/proc/${String(pid)}/status`, 'latin1')
  } catch {
    return true
  }
  const mask = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? 'f'}`)
  return ((mask('SigPnd') | mask('ShdPnd')) & ~mask('SigBlk')) !== 0n
}
