import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";

import {
  createTerminal,
  displayWidth,
  jsonText,
  type OutputStream,
  safeLine,
  safeText,
  safeYaml,
  shortened,
  tableLines,
} from "./terminal.ts";

function terminalWith(isTTY: boolean, env: Record<string, string> = {}) {
  const stdout: OutputStream = Object.assign(new PassThrough(), { isTTY });
  return createTerminal({ stdout, stderr: new PassThrough(), env });
}

describe("text from elsewhere", () => {
  it("loses its power over the terminal", () => {
    expect(safeText("a\u001b[31m\u009b\u0007\u007f\u202eb\n\tc\r\nd\re")).toBe(
      "a\\u001b[31m\\u009b\\u0007\\u007f\\u202eb\n\tc\nd\\u000de",
    );
    expect(safeLine("a\nb\tc")).toBe("a\\nb\\tc");
    expect(safeText("\ud800")).toBe("\ufffd");
  });

  it("keeps its value in JSON", () => {
    const value = { text: "\u001b\u009b\u202e\n\u{1f600}" };
    const text = jsonText(value, 2);
    for (const character of ["\u001b", "\u009b", "\u202e"]) expect(text).not.toContain(character);
    expect(JSON.parse(text)).toEqual(value);
  });

  it("is escaped in YAML", () => {
    expect(safeYaml('a: "\u009b"\n')).toBe('a: "\\u009b"\n');
  });
});

describe("tableLines", () => {
  it("aligns columns by what a terminal shows", () => {
    const lines = tableLines(
      terminalWith(false),
      ["A", "BB", "C"],
      [
        ["日本", "1", "x"],
        ["e\u0301", "22\n", ""],
      ],
    );
    expect(lines).toEqual(["A     BB    C", "日本  1     x", "e\u0301     22\\n"]);
    expect(displayWidth("日本")).toBe(4);
    expect(displayWidth("e\u0301")).toBe(1);
  });

  it("colours a terminal, and nothing else", () => {
    const rows = [[{ text: "failed", style: "red" as const }, "x"]];
    expect(tableLines(terminalWith(true), ["A", "B"], rows)[1]).toBe("\u001b[31mfailed\u001b[39m  x");
    expect(tableLines(terminalWith(false), ["A", "B"], rows)[1]).toBe("failed  x");
    expect(tableLines(terminalWith(true, { NO_COLOR: "1" }), ["A", "B"], rows)[1]).toBe("failed  x");
    expect(tableLines(terminalWith(true, { TERM: "dumb" }), ["A", "B"], rows)[1]).toBe("failed  x");
  });
});

describe("shortened", () => {
  it("says how much is missing", () => {
    expect(shortened("abc", 3)).toBe("abc");
    expect(shortened("abcdef", 3)).toBe("abc… (3 more characters)");
  });
});
