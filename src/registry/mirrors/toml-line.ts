import { parse } from 'smol-toml'

/** Keys of tables and indexes of lists, from the top of the document. */
export type TomlPath = readonly (string | number)[]

/** Each step of the search parses up to the whole text. */
const maxTextLength = 256 * 1024

/**
 * The line, from 1, where the statement begins that gives a value of a TOML document; undefined for the document itself, for
 * what is not in it, and for long texts. The parser tells no places. But a document is a sequence of statements in whole
 * lines, so the one looked for is the last of the shortest beginning of the document that has the value.
 */
export function lineOf(text: string, path: TomlPath): number | undefined {
  if (path.length === 0 || text.length > maxTextLength || has(text, path) !== true) return undefined
  const lines = text.split('\n')
  /** So many lines are whole statements, and do not have it. */
  let without = 0
  /** From here on, so many lines have it, or end within the statement that gives it. */
  let end = lines.length
  while (without + 1 < end) {
    const middle = (without + end) >> 1
    let count = middle
    let found: boolean | undefined
    while (count < end && found === undefined) found = has(lines.slice(0, count++).join('\n'), path)
    if (found === false) without = count - 1
    else end = middle
  }
  return without + 1
}

/** Undefined where the text ends within a statement. */
function has(text: string, path: TomlPath): boolean | undefined {
  let value: unknown
  try {
    value = parse(text)
  } catch {
    return undefined
  }
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return false
    value = (value as Readonly<Record<string | number, unknown>>)[part]
  }
  return true
}
