/** Where a URL leads, without what it proves: user information, query and fragment may hold secrets (signed URLs). */
export function redactUrl(url: URL): string {
  return `${url.origin}${url.pathname}${url.search === '' ? '' : '?…'}`
}

const urlPattern = /\b(https?:\/\/)[^\s"'<>]+/gi
const secretPattern = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+/gi

/** Text from the other side made fit for a message: one line, short, printable, no URL's query, no credential. */
export function redactText(text: string, maxLength = 300): string {
  const line = text
    // eslint-disable-next-line no-control-regex
    .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ')
    .replace(urlPattern, (url) => (URL.canParse(url) ? redactUrl(new URL(url)) : '<url>'))
    .replace(secretPattern, '$1 <redacted>')
    .trim()
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line
}
