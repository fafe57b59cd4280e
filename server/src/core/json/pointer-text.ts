/**
 * Returns the JSON Pointer (RFC 6901) of a place by its segments: names of members, and indexes. pointer.ts reads
 * pointers.
 */
export function pointerText(segments: readonly (string | number)[]): string {
  let pointer = "";
  for (const segment of segments) pointer += `/${String(segment).replaceAll("~", "~0").replaceAll("/", "~1")}`;
  return pointer;
}
