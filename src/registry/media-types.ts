export const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
export const ociIndex = 'application/vnd.oci.image.index.v1+json'
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const dockerSchema1 = 'application/vnd.docker.distribution.manifest.v1+json'
export const dockerSchema1Signed = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

/** All of them, or old registries convert to schema 1 (distribution content-negotiation.md). Order of containers/image. */
export const manifestAccept = [
  ociManifest,
  dockerManifest,
  dockerSchema1Signed,
  dockerSchema1,
  dockerList,
  ociIndex,
].join(', ')
