/** What the programs of the mount tests are told, for each binding; docs/ARCHITECTURE.md has the table of what each can do. */
export const bindings = [
  { binding: 'native', flags: [] },
  { binding: 'fuse-native', flags: ['--fuse-native'] },
] as const
