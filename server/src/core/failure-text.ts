/** The code and the message of a failure as the ledger holds them. What the user's own failure says may be of any
 *  length and have any character: a text that cannot be kept as it is never costs the failure its code. */

/** By the contract, in Unicode code points. */
const CODE_CHARS_MAX = 128;
/** By the contract, for the failure that ends a run. */
const MESSAGE_BYTES_MAX = 64 * 1024;
/** Ends a text that was cut. */
const MARK = "…";
const MARK_BYTES = Buffer.byteLength(MARK);

/** The code as it is kept: what the database cannot hold (U+0000, lone surrogates) becomes U+FFFD, and what is longer
 *  than 128 characters is cut. */
export function keptCode(code: string): string {
  return Array.from(storable(code.slice(0, 2 * CODE_CHARS_MAX)))
    .slice(0, CODE_CHARS_MAX)
    .join("");
}

/** The message as it is kept: what the database cannot hold (U+0000, lone surrogates) becomes U+FFFD, and what is
 *  longer than `bytesMax` is cut and ends in `…`. */
export function keptMessage(message: string, bytesMax: number = MESSAGE_BYTES_MAX): string {
  // No more units than bytes, so that a text of any length costs little.
  const text = storable(message.slice(0, bytesMax + 1));
  if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return text;
  const bytes = Buffer.from(text);
  let end = bytesMax - MARK_BYTES;
  // Not within a character: its further bytes begin with the bits 10.
  while ((bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end) + MARK;
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}
