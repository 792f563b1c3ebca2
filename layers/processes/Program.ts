/** What a command means on this machine: the file to run, and the environment that it may see. */
import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join } from "node:path"
import type { Command } from "../../services/processes/Processes.ts"

const inherited = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"]

export const environmentOf = (command: Command): Record<string, string> => {
  const environment: Record<string, string> = {}
  for (const name of [...inherited, ...(command.inherit ?? [])]) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return { ...environment, ...command.env }
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** The file that a command names, on the path given. */
export const locate = (command: string, path: string): string | undefined =>
  isAbsolute(command)
    ? [command].find(isExecutable)
    : path
        .split(delimiter)
        .filter((directory) => isAbsolute(directory))
        .map((directory) => join(directory, command))
        .find(isExecutable)
