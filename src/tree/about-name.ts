/** Of the directory at the top that tells about the mount. */
export const aboutName = '.registryfs'
