import { hasCode, RegistryFsError } from '../../util/errors.js'
import type { MirrorHealth } from './mirror-health.js'
import type { Site, SiteUse } from './site.js'

/**
 * Mirrors that are well, the primary, and last, in case nothing else answers, mirrors that are set aside. Only those
 * that may be used for this.
 */
export function sitesInOrder(
  sites: readonly Site[],
  uses: readonly SiteUse[],
  health: MirrorHealth,
): readonly Site[] {
  const fit = sites.filter((site) => uses.every((use) => site[use]))
  const isWell = (site: Site): boolean => !site.isMirror || !health.isAside(site.name)
  return [...fit.filter(isWell), ...fit.filter((site) => !isWell(site))]
}

/** Whether a failure of the primary may be one of the way to it, so that a mirror that was set aside is worth a try. */
export function isUnreachable(error: unknown): boolean {
  return hasCode(error, 'UNAVAILABLE', 'TIMEOUT', 'RATE_LIMITED')
}

/** The first answer, of the sites in order. The error of the primary counts, for it has the last word. */
export async function askInOrder<T>(
  order: readonly Site[],
  health: MirrorHealth,
  ask: (site: Site) => Promise<T>,
): Promise<T> {
  let failure: unknown
  let ofPrimary: unknown
  for (const site of order) {
    try {
      return await ask(site)
    } catch (error) {
      if (hasCode(error, 'ABORTED')) throw error
      failure ??= error
      if (site.isMirror) health.report(site.name, error)
      else if (isUnreachable(error)) ofPrimary = error
      else throw error
    }
  }
  const none = new RegistryFsError('UNSUPPORTED', 'no mirror and no server may be asked for this')
  throw (ofPrimary ?? failure ?? none) as Error
}
