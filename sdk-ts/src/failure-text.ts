/** The code and the message of a failure as the runtime keeps them. A text that cannot be kept as it is never costs the
 *  failure its code. */

/** By the contract. */
const CODE_CHARS_MAX = 128;
/** By the contract, for the failure that ends a run. */
const MESSAGE_BYTES_MAX = 64 * 1024;
/** Ends a text that was cut. */
const MARK = "…";
const MARK_BYTES = 3;

/** The code as it is kept: what no database holds (U+0000, lone surrogates) becomes U+FFFD, and what is longer than 128
 *  characters is cut. */
export function keptCode(code: string): string {
  return Array.from(storable(code.slice(0, 2 * CODE_CHARS_MAX)))
    .slice(0, CODE_CHARS_MAX)
    .join("");
}

/** The message as it is kept: what no database holds (U+0000, lone surrogates) becomes U+FFFD, and what is longer than
 *  64 KiB is cut and ends in `…`. */
export function keptMessage(message: string): string {
  // No more units than bytes, so that a text of any length costs little.
  const text = storable(message.slice(0, MESSAGE_BYTES_MAX + 1));
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MESSAGE_BYTES_MAX) return text;
  // Decoding drops the character that the cut splits.
  const kept = new TextDecoder().decode(bytes.subarray(0, MESSAGE_BYTES_MAX - MARK_BYTES), { stream: true });
  return kept + MARK;
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}
