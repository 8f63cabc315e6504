import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { RegistryFsError } from '../../util/errors.js'
import { lineOf, type TomlPath } from './toml-line.js'

const maxFileBytes = 4 * 1024 * 1024

interface TomlFile {
  readonly path: string
  readonly text: string
}

/** A value of a TOML file with its place in it, `hosts.toml:3: host."https://m".ca`, for errors. */
export class TomlValue {
  readonly #file: TomlFile
  readonly #place: TomlPath
  readonly #value: unknown

  constructor(file: TomlFile, place: TomlPath, value: unknown) {
    this.#file = file
    this.#place = place
    this.#value = value
  }

  get file(): string {
    return this.#file.path
  }

  get isAbsent(): boolean {
    return this.#value === undefined
  }

  /** Undefined parts of it are values that are absent. */
  get(key: string): TomlValue {
    const table = this.#table()
    return this.#child(key, Object.hasOwn(table, key) ? table[key] : undefined)
  }

  /** In the order of the file. */
  keys(): readonly string[] {
    return Object.keys(this.#table())
  }

  list(): readonly TomlValue[] {
    if (this.#value === undefined) return []
    if (!Array.isArray(this.#value)) throw this.invalid('must be a list')
    return this.#value.map((value, i) => this.#child(i, value))
  }

  /** A list, or one value as a list of one. */
  oneOrMore(): readonly TomlValue[] {
    return this.#value === undefined || Array.isArray(this.#value) ? this.list() : [this]
  }

  get isList(): boolean {
    return Array.isArray(this.#value)
  }

  string(): string | undefined {
    if (this.#value === undefined) return undefined
    if (typeof this.#value !== 'string') throw this.invalid('must be a string')
    return this.#value
  }

  boolean(): boolean | undefined {
    if (this.#value === undefined) return undefined
    if (typeof this.#value !== 'boolean') throw this.invalid('must be true or false')
    return this.#value
  }

  invalid(reason: string): RegistryFsError {
    const line = lineOf(this.#file.text, this.#place)
    const at = line === undefined ? '' : `:${String(line)}`
    const place = this.#place.length === 0 ? '' : ` ${shown(this.#place)}`
    return new RegistryFsError('INVALID', `${this.file}${at}:${place} ${reason}`)
  }

  #child(key: string | number, value: unknown): TomlValue {
    return new TomlValue(this.#file, [...this.#place, key], value)
  }

  #table(): Readonly<Record<string, unknown>> {
    if (this.#value === undefined) return {}
    if (typeof this.#value !== 'object' || this.#value === null || Array.isArray(this.#value))
      throw this.invalid('must be a table')
    return this.#value as Readonly<Record<string, unknown>>
  }
}

function shown(place: TomlPath): string {
  const parts = place.map((part) => {
    if (typeof part === 'number') return `[${String(part)}]`
    return /^[A-Za-z0-9_-]+$/.test(part) ? `.${part}` : `.${JSON.stringify(part)}`
  })
  return parts.join('').slice(1)
}

/** Undefined where there is no such file. Throws INVALID with the file, and line and column where TOML is broken. */
export function readTomlFile(path: string): TomlValue | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new RegistryFsError('INVALID', `${path} cannot be read (${code ?? 'unknown error'})`)
  }
  if (text.length > maxFileBytes) throw new RegistryFsError('INVALID', `${path} is too long`)
  return parseToml(text, path)
}

export function parseToml(text: string, path: string): TomlValue {
  try {
    return new TomlValue({ path, text }, [], parse(text))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
    throw new RegistryFsError('INVALID', `${path}:${String(error.line)}:${String(error.column)}: ${reason}`)
  }
}
