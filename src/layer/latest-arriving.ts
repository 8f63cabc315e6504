import type { ArrivingChunks } from '../blob/cached-source.js'

/** What the pass that runs at the moment has in hand, whichever that is. */
export function latestArriving(download: () => ArrivingChunks | undefined): ArrivingChunks {
  return {
    has: (index) => download()?.has(index) ?? false,
    find: async (index) => download()?.find(index),
  }
}
