import { isUtf8 } from "node:buffer"

/** Text of a file in one of the encodings that need no transcoding: UTF-8 where it is valid, or else Latin-1. */
export const decode = (bytes: Buffer): string => bytes.toString(isUtf8(bytes) ? "utf8" : "latin1")
