/** A job's last refused result, as every store keeps it. */

/** Enough to see what was refused; whole outputs of refused results would be stored by anybody's leave. */
const OUTPUT_BYTES_MAX = 64 * 1024;

/** JSON text of a refusal; its output is cut to 64 KiB, between characters. */
export function encodeRefusedResult({ reason, output }: { reason: string; output: string }): string {
  return JSON.stringify({ reason, output: firstBytes(output) });
}

function firstBytes(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= OUTPUT_BYTES_MAX) return text;
  // A streaming decoder leaves out the character that the cut would split.
  return new TextDecoder().decode(bytes.subarray(0, OUTPUT_BYTES_MAX), { stream: true });
}
