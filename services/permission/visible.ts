/**
 * Text as a person may be shown it who has to decide on it: whatever is not seen, or makes what stands around it look
 * different, is written out as its code point. Letters of all scripts stay as they are.
 */

/**
 * Controls, formats (zero-width, directions, tags), separators, unassigned and private characters; besides those,
 * letters and marks that no screen shows: fillers, variation selectors, the grapheme joiner, blank Braille. Any space
 * but the common one is one too many.
 */
const hidden = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}|\p{Default_Ignorable_Code_Point}|\u2800/gu

const written = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`

export const visible = (text: string): string => text.replaceAll(hidden, written)

/** Arguments as they are, whole and on one line. */
export const visibleJson = (value: unknown): string => visible(JSON.stringify(value) ?? "nothing")
