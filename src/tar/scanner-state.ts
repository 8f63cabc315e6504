/** Where a scan stands between two pushes: all that another scanner needs to continue exactly there. */
export interface ScannerState {
  /** Bytes of the tar that were pushed; the next push starts here. */
  readonly offset: number
  /**
   * Where the first header starts that belongs to no member yet; beyond `offset` while content is skipped. All members
   * before it were emitted, none after it.
   */
  readonly headerOffset: number
  /** Where the content of the last member ends, without padding. */
  readonly contentEnd: number
  /** The bytes from `headerOffset` to `offset`; at most 4 MiB and a block, nearly always empty. */
  readonly carry: Buffer
  /** PAX global records, as a PAX header has them; at most 4 KiB and their lengths. */
  readonly globals: Buffer
  /** What the member before `headerOffset`, of a type without content, claims to have (see TarScanner). */
  readonly claimedBytes: number
  readonly memberCount: number
  /** The end of the archive was seen; what follows is padding. */
  readonly ended: boolean
}
