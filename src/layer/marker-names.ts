/** Names that are notes to the reader of layers (OCI image specification, layer.md). */
export const whiteoutPrefix = '.wh.'
export const opaqueMarker = '.wh..wh..opq'
/** AUFS kept its own things under these; they are nobody's files. */
export const aufsNames: ReadonlySet<string> = new Set(['.wh..wh.aufs', '.wh..wh.orph', '.wh..wh.plnk'])
/** `.wh..` would hide the directory itself, `.wh...` its parent. */
export const invalidWhiteouts: ReadonlySet<string> = new Set(['.wh.', '.wh..', '.wh...'])
