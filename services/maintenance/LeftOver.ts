/**
 * Which working directories are left-overs. One is named `<pid>-<random>` after the process that made it, so a crash in
 * mid-clone leaves something that a later process can tell from what is in use.
 */

const shape = /^([1-9]\d{0,9})-[A-Za-z0-9_-]{1,64}$/

/** The process that made a directory of this name; undefined for a name that is not of our making. */
export const ownerOf = (name: string): number | undefined => {
  const pid = shape.exec(name)?.[1]
  return pid === undefined ? undefined : Number(pid)
}

export interface Circumstances {
  readonly ownPid: number
  /** Unix time in milliseconds, at the latest, at which this process started. */
  readonly startedAt: number
  readonly isAlive: (pid: number) => boolean
}

/**
 * Whether nobody uses the directory. In a container each start has the same process id, so one that bears our own is
 * left over when it is older than this process. In doubt it is in use.
 */
export const isLeftOver = (
  owner: number,
  createdAt: number | undefined,
  { isAlive, ownPid, startedAt }: Circumstances
): boolean => (owner === ownPid ? createdAt !== undefined && createdAt < startedAt : !isAlive(owner))
