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
const IMPORT = /^\s*(import|export) /;
/** A literal of a line: the formatter does not break it. A template may go on in other lines. */
const LITERALS = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*(?:`|$)|\/\S{20,}\//g;
/** A literal that is shorter can go to a line of its own. */
const LITERAL_CHARS_MIN = 30;

function isTooLong(line: string): boolean {
  if (line.length <= COLUMNS_MAX) return false;
  if (COMMENT.test(line)) {
    const codeSpans = line.split("`").filter((_, index) => index % 2 === 1);
    return !/https?:\/\//.test(line) && !codeSpans.some((span) => span.length >= 60);
  }
  return !IMPORT.test(line) && !line.match(LITERALS)?.some((literal) => literal.length >= LITERAL_CHARS_MIN);
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
