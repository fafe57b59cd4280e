/**
 * The demo of the expenses as a user runs it, in a process of its own, with fewer rows; and its errors for unusable
 * files.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";

import { afterAll, describe, expect, test } from "vitest";

import { ExpenseFileError, parseExpenses, readExpenses } from "../../examples/expenses/expense-file.ts";

const EXPENSES = resolve(import.meta.dirname, "../../examples/expenses");
const CSV = join(EXPENSES, "expenses.csv");
const HEADER = "id,employee,department,date,category,merchant,amount,currency,description";

const folder = mkdtempSync(join(tmpdir(), "abstractruntime-expenses-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function runDemo(...args: string[]) {
  const child = spawn(process.execPath, [join(EXPENSES, "demo.ts"), ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { stdout, stderr, code: child.exitCode };
}

/**
 * Rows of the shipped file: the first ones, the very large ones, and those with line breaks, quotes and special
 * letters.
 */
function writeSample(): { file: string; rows: number } {
  const rows = rowsOf(readFileSync(CSV, "utf8"));
  const sample = rows.filter((row, index) => index < 15 || /\d{4}\.\d\d,[A-Z]{3}|\n|""|[^\0-\u024f]/.test(row));
  const file = join(folder, "sample.csv");
  writeFileSync(file, `${HEADER}\n${sample.join("\n")}\n`);
  return { file, rows: sample.length };
}

/** The rows of the shipped file as they are written; an id marks the beginning of each. */
function rowsOf(csv: string): string[] {
  return csv
    .trimEnd()
    .split(/\n(?=EXP-)/)
    .slice(1);
}

describe("the demo of the expenses", () => {
  test(
    "brings every row to its end exactly once through two kills of server and database",
    { timeout: 300_000 },
    async () => {
      const { file, rows } = writeSample();
      const { stdout, stderr, code } = await runDemo(file, "--yes", "--json", "--seed", "test");
      const lastLine = stdout.trimEnd().split("\n").at(-1) ?? "";
      expect({ code, lastLine, stderr }).toMatchObject({ code: 0 });
      const { asked, records, ...rest } = JSON.parse(lastLine) as Record<string, number>;
      expect(rest).toEqual({ runs: rows, completed: rows, serverKills: 2, chain: "ok" });
      expect(asked).toBeGreaterThan(0);
      // At least a start, a step and an end.
      expect(records).toBeGreaterThanOrEqual(3 * rows);
      expect(stderr.match(/SIGKILL/g)).toHaveLength(2);
      expect(stderr).not.toContain("FAILED");
    },
  );

  test("refuses a file with a bad cell, naming row and column, and starts nothing", async () => {
    const file = join(folder, "bad.csv");
    writeFileSync(file, `${HEADER}\nE1,a,b,2026-01-01,c,d,12.5,EUR,"two\nlines"\nE2,a,b,2026-01-01,c,d,twelve,EUR,\n`);
    const { stdout, stderr, code } = await runDemo(file, "--yes", "--json");
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toContain('row 2 (line 4), column amount: must be a number such as 12.50, not "twelve"');
  });

  test("refuses to ask if there is no terminal", async () => {
    const { stderr, code } = await runDemo();
    expect(code).toBe(2);
    expect(stderr).toContain("--yes");
  });

  test("refuses options that it does not know", async () => {
    const { stderr, code } = await runDemo("--yes", "--fast");
    expect(code).toBe(2);
    expect(stderr).toContain("--fast");
  });
});

describe("a file of expenses", () => {
  const row = (cells: Partial<Record<string, string>>) => {
    const good = { id: "E1", employee: "a", department: "b", date: "2026-01-31", category: "c", merchant: "d" };
    const all: Record<string, string | undefined> = {
      ...good,
      amount: "1",
      currency: "EUR",
      description: "",
      ...cells,
    };
    return HEADER.split(",")
      .map((column) => all[column])
      .join(",");
  };

  test("that ships with the demo has 300 rows, with quotes and line breaks", async () => {
    const expenses = await readExpenses(CSV);
    expect(expenses).toHaveLength(300);
    expect(new Set(expenses.map(({ id }) => id)).size).toBe(300);
    expect(expenses.filter(({ description }) => description.includes("\n")).length).toBeGreaterThan(0);
    expect(expenses.filter(({ description }) => description.includes('"')).length).toBeGreaterThan(0);
  });

  test("may have a byte order mark, more columns, and columns in another order", () => {
    const csv = `\uFEFFnote,${HEADER.split(",").toReversed().join(",")}\r\nx,,EUR,-3.5,d,c,2026-01-31,b,a,E1\r\n`;
    expect(parseExpenses("x.csv", csv)).toEqual([
      {
        id: "E1",
        employee: "a",
        department: "b",
        date: "2026-01-31",
        category: "c",
        merchant: "d",
        amount: -3.5,
        currency: "EUR",
        description: "",
      },
    ]);
  });

  const refusals: readonly [what: string, csv: string, message: string][] = [
    ["nothing", "", "has no columns id, employee"],
    ["a header alone", HEADER, "no rows"],
    ["other separators", HEADER.replaceAll(",", ";"), "separated by commas"],
    ["a missing column", HEADER.replace("amount,", ""), "has no column amount"],
    ["a column twice", `${HEADER},id\n`, "column id twice"],
    ["a row that is too short", `${HEADER}\nE1,a`, "line 2"],
    ["an open quote", `${HEADER}\n"E1`, "not a CSV"],
    ["an id twice", `${HEADER}\n${row({})}\n${row({})}`, 'row 2 (line 3), column id: "E1" is also the id of row 1'],
    ["an empty name", `${HEADER}\n${row({ employee: " " })}`, "row 1 (line 2), column employee: is empty"],
    ["a day that is none", `${HEADER}\n${row({ date: "2026-02-30" })}`, "column date: must be a day"],
    ["a decimal comma", `${HEADER}\n${row({ amount: '"1,50"' })}`, "column amount: must be a number"],
    ["a number of another kind", `${HEADER}\n${row({ amount: "1e3" })}`, "column amount: must be a number"],
    ["an amount beyond bounds", `${HEADER}\n${row({ amount: "10000000000" })}`, "column amount"],
    ["a currency in small letters", `${HEADER}\n${row({ currency: "eur" })}`, "column currency"],
    ["a NUL character", `${HEADER}\n${row({ description: "a\0b" })}`, "column description: contains a NUL"],
    ["too many rows", `${HEADER}\n${`${row({})}\n`.repeat(10_001)}`, "more than 10000 rows"],
  ];

  test.each(refusals)("with %s is refused", (_what, csv, message) => {
    expect(() => parseExpenses("x.csv", csv)).toThrow(ExpenseFileError);
    expect(() => parseExpenses("x.csv", csv)).toThrow(message);
  });
});
