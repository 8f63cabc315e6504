/** What encodeMember and MemberCursor agree on (member-codec.ts). */
export const typeBits = 3
export const memberFlags = {
  size: 1,
  link: 2,
  owner: 4,
  nanoseconds: 8,
  device: 16,
  xattrs: 32,
  unsupported: 64,
  sparse: 128,
} as const
/** Of the shortest member: type, name length, mode, two offsets, time. */
export const minimumMemberBytes = 6
