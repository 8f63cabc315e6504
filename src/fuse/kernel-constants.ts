/** Of open(2)'s flags, fcntl.h; node:fs has the parts only. */
export const accessModeMask = 3

/** xattrs that only the kernel and ls ask for, of every file: answered without a request, or the cost of ls -l doubles. */
export const quickNames = /^(security|system|trusted)\./
