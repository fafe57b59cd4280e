import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/**
 * Lists how the files under `actual` differ from the files under `expected`: one line per file that is missing, left
 * over or different, sorted by path. Empty if both trees are identical. A folder that does not exist counts as empty.
 *
 * Gates compare generated files this way and not with `git status`, so that other changes in the work tree do not
 * matter.
 */
export function compareTrees(trees: { expected: string; actual: string }): string[] {
  const expected = readTree(trees.expected);
  const actual = readTree(trees.actual);
  const lines: string[] = [];
  for (const path of [...new Set([...expected.keys(), ...actual.keys()])].toSorted()) {
    const want = expected.get(path);
    const have = actual.get(path);
    if (have === undefined) lines.push(`missing:   ${path}`);
    else if (want === undefined) lines.push(`left over: ${path}`);
    else if (!want.equals(have)) lines.push(`differs:   ${path}`);
  }
  return lines;
}

function readTree(root: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let entries;
  try {
    entries = readdirSync(root, { recursive: true, withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return files;
    throw error;
  }
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path), readFileSync(path));
  }
  return files;
}
