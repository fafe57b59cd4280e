/**
 * The lines gate: no line of code or comment is longer than 120 columns.
 *
 * The formatter breaks code, but neither comments nor text inside literals. A code line may be longer if it holds
 * a literal or an import; a comment line may be longer if it holds a URL or a long code span.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const COLUMNS_MAX = 120;

const FILES = ["*.ts", "*.mjs", "*.proto", "*.sql", "*.go", "*.py"];
/** Generated files, other projects' files, and files that are data. */
const EXCLUDED = /^third_party\/|^server\/migrations\/|^sdk-(go|python)\/abstractruntime\/|\/gen\/|\/golden\/.*\.sql$/;

const COMMENT = /^\s*(\/\/|\/?\*|--|#)/;
const LONG_IN_COMMENT = /https?:\/\/|`[^`]{60,}`/;
const LONG_IN_CODE = /["'`]|^\s*(import|export) |\/\^/;

function isTooLong(line: string): boolean {
  if (line.length <= COLUMNS_MAX) return false;
  return !(COMMENT.test(line) ? LONG_IN_COMMENT : LONG_IN_CODE).test(line);
}

const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", ...FILES], {
  encoding: "utf8",
});

let count = 0;
for (const path of listed.split("\0")) {
  if (path === "" || EXCLUDED.test(path) || !existsSync(path)) continue;
  for (const [index, line] of readFileSync(path, "utf8").split("\n").entries()) {
    if (!isTooLong(line)) continue;
    count += 1;
    console.error(`${path}:${index + 1}: ${line.length} columns`);
  }
}
if (count > 0) {
  console.error(`${count} lines are longer than ${COLUMNS_MAX} columns: break them by hand.`);
  process.exitCode = 1;
}
