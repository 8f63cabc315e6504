/**
 * What Go's reader_test.go (archive/tar of Go 1.19) expects of each file of its testdata: type flag, name, mode, owner,
 * size, time and what else it says; or that it is refused. Where the files are not in its table, what they were made to
 * hold. Deviations are named with their reason.
 */
export interface GoExpectation {
  readonly file: string
  readonly members?: readonly string[]
  readonly refused?: true
  readonly why?: string
}

const digits100 = Array.from({ length: 100 }, (_, i) => String(i + 1)).join('')
const longname = 'longname/'

export const goExpectations: readonly GoExpectation[] = [
  {
    file: 'gnu.tar',
    members: [
      '0 small.txt 640 73025:5000 5 1244428340 md5=e38b27ea',
      '0 small2.txt 640 73025:5000 11 1244436044 md5=c65bd2e5',
    ],
  },
  {
    file: 'sparse-formats.tar',
    members: [
      '0 sparse-gnu 644 1000:1000 200 1392395740 md5=6f532343',
      '0 sparse-posix-0.0 644 1000:1000 200 1392342187 md5=6f532343',
      '0 sparse-posix-0.1 644 1000:1000 200 1392340456 md5=6f532343',
      '0 sparse-posix-1.0 644 1000:1000 200 1392337404 md5=6f532343',
      '0 end 644 1000:1000 4 1392398319 md5=b0061974',
    ],
  },
  {
    file: 'star.tar',
    members: ['0 small.txt 640 73025:5000 5 1244592783', '0 small2.txt 640 73025:5000 11 1244592783'],
  },
  {
    file: 'v7.tar',
    members: ['0 small.txt 444 73025:5000 5 1244593104', '0 small2.txt 444 73025:5000 11 1244593104'],
  },
  {
    file: 'pax.tar',
    members: [
      `0 a/${digits100} 664 1000:1000 7 1350244992.023960108`,
      `2 a/b 777 1000:1000 0 1350266320.910238425 -> ${digits100}`,
    ],
  },
  { file: 'pax-bad-hdr-file.tar', refused: true },
  { file: 'pax-bad-hdr-large.tar.bz2', refused: true },
  { file: 'pax-bad-mtime-file.tar', refused: true },
  { file: 'pax-pos-size-file.tar', members: ['0 foo 640 319973:5000 999 1442282516 md5=0afb597b'] },
  { file: 'pax-records.tar', members: ['0 file 0 0:0 0 0'] },
  {
    file: 'pax-global-records.tar',
    members: [
      '0 global1 0 0:0 0 1500000000',
      '0 file2 0 0:0 0 1500000000',
      '0 file3 0 0:0 0 1500000000',
      '0 file4 0 0:0 0 1400000000',
    ],
    why: 'Go gives global headers to its caller and applies nothing; here they count for what follows, as POSIX says',
  },
  { file: 'nil-uid.tar', members: ['0 P1050238.JPG.log 664 0:0 14 1365454838'] },
  {
    file: 'xattrs.tar',
    members: [
      '0 small.txt 644 1000:10 5 1386065770.448252320 security.selinux=unconfined_u:object_r:default_t:s0\\0 user.key=value user.key2=value2',
      '0 small2.txt 644 1000:10 11 1386065770.449252304 security.selinux=unconfined_u:object_r:default_t:s0\\0',
    ],
  },
  {
    file: 'gnu-multi-hdrs.tar',
    members: ['2 GNU2/GNU2/long-path-name 0 0:0 0 0 -> GNU4/GNU4/long-linkpath-name'],
  },
  {
    file: 'gnu-incremental.tar',
    members: ['0 test2/foo 644 1000:1000 64 1441973363', '0 test2/sparse 644 1000:1000 536870912 1441973427'],
    why: 'a dump directory (type D) is stepped over',
  },
  { file: 'pax-multi-hdrs.tar', members: ['2 bar 0 0:0 0 0 -> PAX4/PAX4/long-linkpath-name'] },
  { file: 'gnu-long-nul.tar', members: ['0 0123456789 644 1000:1000 0 1486082191'] },
  { file: 'gnu-utf8.tar', members: [`0 ${'☺☻☹'.repeat(18)} 644 1000:1000 0 0`] },
  { file: 'gnu-not-utf8.tar', members: ['0 hi\\x80\\x81\\x82\\x83bye 644 1000:1000 0 0'] },
  { file: 'pax-nul-xattrs.tar', refused: true },
  { file: 'pax-nul-path.tar', refused: true },
  { file: 'neg-size.tar', refused: true },
  { file: 'issue10968.tar', refused: true },
  { file: 'issue11169.tar', refused: true },
  { file: 'issue12435.tar', refused: true },
  { file: 'invalid-go17.tar', members: [`0 ${'a'.repeat(97)}/foo 0 2097152:0 0 0`] },
  { file: 'ustar-file-devs.tar', members: ['0 file 644 0:0 0 0'] },
  { file: 'gnu-nil-sparse-data.tar', members: ['0 sparse.db 0 0:0 1000 0'] },
  { file: 'gnu-nil-sparse-hole.tar', members: ['0 sparse.db 0 0:0 1000 0'] },
  { file: 'pax-nil-sparse-data.tar', members: ['0 sparse.db 0 0:0 1000 0'] },
  { file: 'pax-nil-sparse-hole.tar', members: ['0 sparse.db 0 0:0 1000 0'] },
  { file: 'trailing-slash.tar', members: [`5 ${'123456789/'.repeat(30)} 0 0:0 0 0`] },
  // From here on: not in TestReader's table.
  { file: 'file-and-dir.tar', members: ['0 small.txt 0 0:0 5 0', '5 dir/ 0 0:0 0 0'] },
  { file: 'gnu-sparse-big.tar', members: ['0 gnu-sparse 0 0:0 60000000000 0'] },
  { file: 'pax-sparse-big.tar', members: ['0 pax-sparse 0 0:0 60000000000 0'] },
  {
    file: 'hardlink.tar',
    members: ['0 file.txt 644 1000:100 15 1425484303', '1 hard.txt 644 1000:100 0 1425484303 -> file.txt'],
  },
  {
    file: 'hdr-only.tar',
    members: [
      ...['5 dir/', '6 fifo', '0 file', '1 hardlink', '3 null', '4 sda', '2 symlink', '2 badlink'],
      ...['5 dir/', '6 fifo', '0 file', '1 hardlink', '3 null', '4 sda', '2 symlink', '2 badlink'],
    ],
  },
  { file: 'pax-path-hdr.tar', refused: true, why: 'an extension header with no member; Go says end of file' },
  { file: 'ustar-file-reg.tar', members: ['0 foo 640 319973:5000 684 1442282516'] },
  { file: 'ustar.tar', members: [`0 ${longname.repeat(15)}file.txt 644 501:20 6 1360135598`] },
  {
    file: 'writer.tar',
    members: [
      '0 small.txt 640 73025:5000 5 1246508266',
      '0 small2.txt 640 73025:5000 11 1245217492',
      '2 link.txt 777 1000:1000 0 1314603082 -> small.txt',
    ],
  },
  { file: 'writer-big.tar', refused: true, why: 'a header of 16 GiB without its content' },
  { file: 'writer-big-long.tar', refused: true, why: 'a header of 16 GiB without its content' },
]
