import type { Command } from 'commander'

/** What loads each command's definition. What a command does is loaded when it runs: most of a start is loading. */
export const commands = new Map<string, () => Promise<Command>>([
  ['mount', async () => (await import('./mount.js')).mountCommand()],
  ['umount', async () => (await import('./umount.js')).umountCommand()],
  ['ls', async () => (await import('./ls.js')).lsCommand()],
  ['cat', async () => (await import('./cat.js')).catCommand()],
  ['index', async () => (await import('./index-command.js')).indexCommand()],
  ['inspect', async () => (await import('./inspect.js')).inspectCommand()],
  ['doctor', async () => (await import('./doctor.js')).doctorCommand()],
])
