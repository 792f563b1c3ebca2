/**
 * The name that a server's tool has for models and people: `server__tool`.
 *
 * It depends on the two names alone, never on what other tools there are, so a server cannot take the name of another
 * one's tool: a prefix has no double underscore in it and does not end in one, which leaves one way to read each name.
 * It has letters, digits, "_" and "-", 64 at most, as model providers want it; what had to be changed or cut for that is
 * told apart by a checksum of the real name.
 */

/** Longest name that model providers take. */
const maxLength = 64
/** Of them for the server. */
const maxPrefix = 24

/** FNV-1a, 32 bits: for telling names apart, not for trust. */
const checksum = (text: string): string => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return hash.toString(16).padStart(8, "0")
}

const plain = (name: string): string => name.replace(/[^A-Za-z0-9_-]/g, "_")

export const prefixOf = (server: string): string => {
  const clean = plain(server)
    .replace(/_{2,}/g, "_")
    .replace(/^[_-]+|_+$/g, "")
  return clean.length <= maxPrefix ? clean : `${clean.slice(0, maxPrefix - 9).replace(/_+$/, "")}_${checksum(server)}`
}

export const nameOf = (server: string, tool: string): string => {
  const prefix = `${prefixOf(server)}__`
  const clean = plain(tool)
  const room = maxLength - prefix.length
  return clean === tool && tool.length > 0 && tool.length <= room
    ? prefix + tool
    : `${prefix}${clean.slice(0, room - 9)}_${checksum(tool)}`
}
