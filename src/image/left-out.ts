import type { TarMember } from '../tar/member.js'
import type { Digest } from '../util/digest.js'
import type { Logger } from '../util/log.js'

/** A hostile image must not fill the log. */
const maximumLogged = 10
const maximumShownName = 200

/** Members that an image's listings leave out, though their layer alone could have had them: told of once each. */
export class LeftOut {
  readonly #log: Logger
  /** Layer and place of those that were told of. */
  readonly #told = new Set<string>()

  constructor(log: Logger) {
    this.#log = log
  }

  add({ name, headerOffset }: TarMember, reason: string, layer: Digest | undefined): void {
    const place = `${String(layer)} ${String(headerOffset)}`
    if (this.#told.size >= maximumLogged || this.#told.has(place)) return
    this.#told.add(place)
    const shown = JSON.stringify(name.toString('utf8', 0, maximumShownName))
    this.#log.warn({ layer, offset: headerOffset }, `a member is not shown: ${shown} is ${reason}`)
  }
}
