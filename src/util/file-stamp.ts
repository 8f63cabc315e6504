import { statSync } from 'node:fs'
import { throwShortage } from './unreadable.js'

/** Another text whenever a file or the names in a directory may have changed; empty where there is nothing. Throws UNREADABLE. */
export function fileStamp(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch (error) {
    throwShortage(error, path)
    return ''
  }
}
