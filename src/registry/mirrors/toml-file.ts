import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { RegistryFsError } from '../../util/errors.js'

const maxFileBytes = 4 * 1024 * 1024

/** A value of a TOML file with its place in it, `hosts.toml: host."https://m".ca`, for errors. */
export class TomlValue {
  readonly file: string
  readonly #place: string
  readonly #value: unknown

  constructor(file: string, place: string, value: unknown) {
    this.file = file
    this.#place = place
    this.#value = value
  }

  get isAbsent(): boolean {
    return this.#value === undefined
  }

  /** Undefined parts of it are values that are absent. */
  get(key: string): TomlValue {
    const table = this.#table()
    const shown = /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)
    return new TomlValue(
      this.file,
      this.#place === '' ? shown : `${this.#place}.${shown}`,
      Object.hasOwn(table, key) ? table[key] : undefined,
    )
  }

  /** In the order of the file. */
  keys(): readonly string[] {
    return Object.keys(this.#table())
  }

  list(): readonly TomlValue[] {
    if (this.#value === undefined) return []
    if (!Array.isArray(this.#value)) throw this.invalid('must be a list')
    return this.#value.map((value, i) => new TomlValue(this.file, `${this.#place}[${String(i)}]`, value))
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
    const place = this.#place === '' ? '' : ` ${this.#place}`
    return new RegistryFsError('INVALID', `${this.file}:${place} ${reason}`)
  }

  #table(): Readonly<Record<string, unknown>> {
    if (this.#value === undefined) return {}
    if (typeof this.#value !== 'object' || this.#value === null || Array.isArray(this.#value))
      throw this.invalid('must be a table')
    return this.#value as Readonly<Record<string, unknown>>
  }
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

export function parseToml(text: string, file: string): TomlValue {
  try {
    return new TomlValue(file, '', parse(text))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
    throw new RegistryFsError('INVALID', `${file}:${String(error.line)}:${String(error.column)}: ${reason}`)
  }
}
