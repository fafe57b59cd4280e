import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PROGRAM = path.join(import.meta.dirname, "compile-and-drop.ts");

test.each(["schemas", "patterns", "patterns computed at run time", "graphs", "refused graphs", "hellos"])(
  "what was compiled and dropped is freed: %s",
  async (kind) => {
    const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", PROGRAM, kind]);
    const { before, after } = JSON.parse(stdout) as { before: number; after: number };
    expect(after).toBeLessThan(before * 1.1);
  },
);
