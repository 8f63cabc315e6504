const maximumReasons = 100
const maximumShownName = 200

/** Why members of a layer are not shown; the first hundred. */
export class SkippedMembers {
  readonly #reasons: string[] = []

  get reasons(): readonly string[] {
    return this.#reasons
  }

  add(name: Buffer, reason: string): void {
    if (this.#reasons.length >= maximumReasons) return
    const shown = name.toString('utf8', 0, maximumShownName)
    this.#reasons.push(`${JSON.stringify(shown)} is ${reason}`)
  }
}
