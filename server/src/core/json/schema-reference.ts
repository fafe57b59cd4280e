/** Returns the JSON Pointer of a reference within a schema; undefined if it names an anchor, or cannot be read. */
export function pointerOfReference(reference: string): string | undefined {
  if (reference === "#") return "";
  if (!reference.startsWith("#/")) return undefined;
  try {
    return decodeURIComponent(reference.slice(1));
  } catch {
    return undefined;
  }
}
