/** A job's last refused result, in the form that every store keeps. */

/** Enough to see what was refused. Without a limit, any worker could fill the database with refused outputs. */
const OUTPUT_BYTES_MAX = 64 * 1024;

/** Returns the JSON text of a refusal, with its output cut to 64 KiB between characters. */
export function encodeRefusedResult({ reason, output }: { reason: string; output: string }): string {
  return JSON.stringify({ reason, output: firstBytes(output) });
}

function firstBytes(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= OUTPUT_BYTES_MAX) return text;
  // A streaming decoder omits a character that the cut would split.
  return new TextDecoder().decode(bytes.subarray(0, OUTPUT_BYTES_MAX), { stream: true });
}
