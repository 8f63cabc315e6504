import { RegistryFsError } from '../util/errors.js'

/** What -o says, as arguments of `registryfs mount`. */
export interface MountArguments {
  readonly flags: readonly string[]
  /** `[ALIAS=]REFERENCE` each. */
  readonly images: readonly string[]
}

export interface MountOptionRules {
  /**
   * Called by mount(8), which adds `rw` where the user says nothing, or by mount.fuse, which adds `dev,suid`: no wishes
   * of the user. (util-linux 2.38, libfuse 3.14)
   */
  readonly fromMount: boolean
  /** mount -s: pass over what is unknown. */
  readonly sloppy: boolean
}

/** Taken care of by mount(8), systemd or the kernel, or true of every registryfs mount. */
const ignored = new Set(
  (
    'defaults ro nosuid nodev exec auto noauto nofail _netdev user nouser users nousers owner noowner group nogroup async sync ' +
    'dirsync atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime ' +
    'silent loud mand nomand iversion noiversion'
  ).split(' '),
)
const ignoredWithValue = /^(?:comment|helper|uhelper|subtype|x-[^=]*|X-[^=]*)(?:=|$)/

const addedByMount = new Set(['rw', 'dev', 'suid'])

const switches: ReadonlyMap<string, string> = new Map([
  ['allow_other', '--allow-other'],
  ['default_permissions', '--default-permissions'],
  ['nonempty', '--nonempty'],
  ['noexec', '--noexec'],
  ['only_aliases', '--only-aliases'],
])

const valued: ReadonlyMap<string, string> = new Map([
  ['cache_dir', '--cache-dir'],
  ['cache_size', '--cache-size'],
  ['free_reserve', '--free-reserve'],
  ['materialize', '--materialize'],
  ['memory', '--memory'],
  ['inflate', '--inflate'],
  ['registry', '--registry'],
  ['host', '--host'],
  ['insecure', '--insecure'],
  ['authfile', '--authfile'],
  ['ca_file', '--ca-file'],
  ['registries_conf', '--registries-conf'],
  ['hosts_dir', '--hosts-dir'],
  ['platform', '--platform'],
  ['read_deadline', '--read-deadline'],
  ['stall', '--stall'],
  ['tag_ttl', '--tag-ttl'],
  ['log_file', '--log-file'],
  ['log_level', '--log-level'],
  ['log_format', '--log-format'],
  ['fsname', '--source'],
  ['binding', '--binding'],
])

/** Parses `a,b=c,...` as of mount(8) and fstab(5); `\,` and `\\` stand for themselves. Throws INVALID. */
export function parseMountOptions(texts: readonly string[], rules: MountOptionRules): MountArguments {
  const flags: string[] = []
  const images: string[] = []
  for (const option of texts.flatMap(splitOptions)) {
    if (ignored.has(option) || ignoredWithValue.test(option)) continue
    const equals = option.indexOf('=')
    const name = equals < 0 ? option : option.slice(0, equals)
    const value = equals < 0 ? undefined : option.slice(equals + 1)
    const flag = value === undefined ? switches.get(name) : valued.get(name)
    if (flag !== undefined) flags.push(value === undefined ? flag : `${flag}=${value}`)
    else if (name === 'image' && value !== undefined && value !== '') images.push(value)
    else refuse(option, name, rules)
  }
  return { flags, images }
}

function refuse(option: string, name: string, rules: MountOptionRules): void {
  if (rules.fromMount && addedByMount.has(option)) return
  if (option === 'rw') throw invalid('rw: registryfs is read-only')
  if (option === 'suid' || option === 'dev')
    throw invalid(`${option}: a registryfs mount is always no${option}`)
  if (option === 'remount') throw invalid('remount: unmount and mount again')
  if (rules.sloppy) return
  if (switches.has(name)) throw invalid(`mount option ${name} takes no value`)
  if (valued.has(name) || name === 'image') throw invalid(`mount option ${name} needs a value`)
  throw invalid(`unknown mount option ${JSON.stringify(option)}`)
}

function splitOptions(text: string): string[] {
  return [...text.matchAll(/(?:\\.|[^,\\])+|\\$/g)].map(([option]) => option.replace(/\\([,\\])/g, '$1'))
}

function invalid(message: string): RegistryFsError {
  return new RegistryFsError('INVALID', message)
}
