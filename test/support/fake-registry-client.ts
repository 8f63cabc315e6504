import type { TestContext } from 'node:test'
import type { DocumentStore } from '../../src/blob/document-store.js'
import { parsePlatform } from '../../src/registry/platform.js'
import { RegistryClient, type RegistryClientOptions } from '../../src/registry/registry-client.js'
import { parseReference, type Reference, type Repository } from '../../src/registry/reference.js'
import type { Logger } from '../../src/util/log.js'
import { FakeRegistry, type FakeRegistryOptions } from './fake-registry.js'

export interface Setup {
  readonly registry: FakeRegistry
  readonly client: RegistryClient
  readonly documents: DocumentStore
  /** Everything that was logged, as JSON. */
  readonly logged: string[]
  readonly reference: (text: string) => Reference
  readonly repository: (path: string) => Repository
}

/** A registry and a client of it that waits for nothing long, both ended with the test. */
export async function setUp(
  t: TestContext,
  registryOptions: FakeRegistryOptions = {},
  clientOptions: Partial<RegistryClientOptions> = {},
): Promise<Setup> {
  const registry = await FakeRegistry.start(registryOptions)
  const documents = memoryDocuments()
  const logged: string[] = []
  const client = new RegistryClient({
    documents,
    log: recordingLogger(logged),
    platform: parsePlatform('linux/amd64'),
    userAgent: 'registryfs/test',
    ...clientOptions,
    retry: { attempts: 3, baseMs: 1, maxMs: 2, ...clientOptions.retry },
  })
  t.after(async () => {
    await client.close()
    await registry.stop()
  })
  return {
    registry,
    client,
    documents,
    logged,
    reference: (text) => parseReference(`${registry.host}/${text}`),
    repository: (path) => ({ host: registry.host, path }),
  }
}

export function memoryDocuments(): DocumentStore {
  const documents = new Map<string, Buffer>()
  return {
    load: async (digest) => Promise.resolve(documents.get(digest)),
    save: async (digest, bytes) => {
      documents.set(digest, bytes)
      return Promise.resolve()
    },
  }
}

export function recordingLogger(lines: string[]): Logger {
  const record = (...args: unknown[]): void => {
    lines.push(JSON.stringify(args))
  }
  return { trace: record, debug: record, info: record, warn: record, error: record }
}
