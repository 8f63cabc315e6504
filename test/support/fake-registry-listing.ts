import type { ServerResponse } from 'node:http'
import type { FakeRequest, Faults } from './fake-registry-faults.js'
import { reply, replyError } from './fake-registry-reply.js'

/** A page of the catalog, or of the tags of a repository; `tags` are all of them by repository. */
export function answerList(
  response: ServerResponse,
  url: URL,
  entry: FakeRequest,
  tags: ReadonlyMap<string, ReadonlyMap<string, unknown>>,
  faults: Faults,
): void {
  const tagsOf = /^\/v2\/(.+)\/tags\/list$/.exec(url.pathname)?.[1]
  const found = tagsOf === undefined ? undefined : tags.get(tagsOf)
  if (tagsOf === undefined ? faults.noCatalog === true : found === undefined) {
    replyError(response, entry, 404, tagsOf === undefined ? 'UNSUPPORTED' : 'NAME_UNKNOWN')
    return
  }
  const all = [...(found ?? tags).keys()].sort()
  const last = url.searchParams.get('last') ?? ''
  const size = faults.pageSize ?? 1000
  const names = all.filter((name) => name > last).slice(0, size)
  const isLast = names.at(-1) === all.at(-1)
  const link = `<${url.pathname}?last=${encodeURIComponent(names.at(-1) ?? '')}&n=${String(size)}>; rel="next"`
  const body = JSON.stringify(tagsOf === undefined ? { repositories: names } : { name: tagsOf, tags: names })
  reply(response, entry, 200, body, { 'content-type': 'application/json', link: isLast ? undefined : link })
}
