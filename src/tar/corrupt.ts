import { RegistryFsError } from '../util/errors.js'

export function corrupt(message: string, offset: number): RegistryFsError {
  return new RegistryFsError('CORRUPT', `tar: ${message}`, { offset })
}

export function overLimit(message: string, offset: number): RegistryFsError {
  return new RegistryFsError('LIMIT', `tar: ${message}`, { offset })
}
