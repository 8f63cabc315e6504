export const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
export const ociIndex = 'application/vnd.oci.image.index.v1+json'
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const dockerSchema1 = 'application/vnd.docker.distribution.manifest.v1+json'
export const dockerSchema1Signed = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

const ociConfig = 'application/vnd.oci.image.config.v1+json'
export const dockerConfig = 'application/vnd.docker.container.image.v1+json'
export const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar'

/** Configs of images; those of artifacts (`application/vnd.oci.empty.v1+json` and any other) say nothing about layers. */
export function isImageConfig(mediaType: string): boolean {
  return mediaType === ociConfig || mediaType === dockerConfig
}

/** All of them, or old registries convert to schema 1 (distribution content-negotiation.md). Order of containers/image. */
export const manifestAccept = [
  ociManifest,
  dockerManifest,
  dockerSchema1Signed,
  dockerSchema1,
  dockerList,
  ociIndex,
].join(', ')

export function isManifestType(mediaType: string): boolean {
  return [ociManifest, ociIndex, dockerManifest, dockerList, dockerSchema1, dockerSchema1Signed].includes(
    mediaType,
  )
}
