/** Cuts text so that it fits into a result. */

/** Cuts text so that it takes at most `bytesMax` bytes as a JSON string, where quotes and control characters are
 *  longer. */
export function cutToJsonBytes(text: string, bytesMax: number): string {
  let cut = text;
  for (let bytes = jsonBytes(cut); bytes > bytesMax; bytes = jsonBytes(cut)) {
    // Nearly exact after one step if escapes are spread evenly, and shorter after every step.
    cut = cut.slice(0, Math.floor((cut.length * bytesMax) / bytes));
  }
  return wholeCharacters(cut);
}

/** Removes half a surrogate pair at the end. */
export function wholeCharacters(text: string): string {
  return /[\uD800-\uDBFF]$/.test(text) ? text.slice(0, -1) : text;
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}
