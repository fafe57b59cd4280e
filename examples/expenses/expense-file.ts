/** Reads a CSV of expenses: the named columns in any order. Ignores other columns; reports problems by row and
 *  column. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

import { CsvError, parse } from "csv-parse/sync";

export type Expense = {
  id: string;
  employee: string;
  department: string;
  /** YYYY-MM-DD. */
  date: string;
  category: string;
  merchant: string;
  /** In `currency`; may be negative, for credit notes. */
  amount: number;
  /** Three capital letters. */
  currency: string;
  description: string;
};

/** The file is invalid; the message says where and why. */
export class ExpenseFileError extends Error {}

const COLUMNS = [
  "id",
  "employee",
  "department",
  "date",
  "category",
  "merchant",
  "amount",
  "currency",
  "description",
] as const satisfies readonly (keyof Expense)[];
type Column = (typeof COLUMNS)[number];

/** A demo of ten thousand runs still takes minutes, not hours; more is a benchmark. */
const ROWS_MAX = 10_000;
/** Far more than 10,000 rows need; the whole file is read into memory. */
const BYTES_MAX = 32 * 1024 * 1024;
/** Names are used in prompts and lists of assignees; the contract allows 256 characters there. */
const NAME_CHARS_MAX = 200;
const DESCRIPTION_CHARS_MAX = 4_000;
/** Cents stay exact far beyond this. */
const AMOUNT_MAX = 1e9;
/** A file with the wrong columns has a problem in every row, so only some are shown. */
const PROBLEMS_SHOWN_MAX = 10;

/** Reads the expenses of a file, 1 to 10,000.
 *  @throws {ExpenseFileError} */
export async function readExpenses(path: string): Promise<Expense[]> {
  const name = basename(path);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new ExpenseFileError(`${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  if (bytes.length > BYTES_MAX) throw new ExpenseFileError(`${name} is larger than ${BYTES_MAX / 1024 / 1024} MiB`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ExpenseFileError(`${name} is not UTF-8 text`);
  }
  return parseExpenses(name, text);
}

/** Parses the expenses of a CSV's text; `name` is the file's name in messages.
 *  @throws {ExpenseFileError} */
export function parseExpenses(name: string, text: string): Expense[] {
  const [header, ...rows] = parseRows(name, text);
  const columns = findColumns(name, header?.cells ?? []);
  if (rows.length === 0) throw new ExpenseFileError(`${name} has no rows below its header`);
  if (rows.length > ROWS_MAX) throw new ExpenseFileError(`${name} has more than ${ROWS_MAX} rows`);

  const problems: string[] = [];
  const rowOfId = new Map<string, number>();
  const expenses = rows.map(({ cells, line }, index): Expense => {
    const row = index + 1;
    const report = (column: Column, problem: string) =>
      problems.push(`row ${row} (line ${line}), column ${column}: ${problem}`);
    const cell = (column: Column) => cells[columns[column]]?.trim() ?? "";
    for (const column of COLUMNS) {
      const problem = cellProblem(column, cell(column));
      if (problem !== undefined) report(column, problem);
    }
    const id = cell("id");
    const other = rowOfId.get(id);
    if (other !== undefined) report("id", `${JSON.stringify(id)} is also the id of row ${other}`);
    rowOfId.set(id, row);
    return {
      id,
      employee: cell("employee"),
      department: cell("department"),
      date: cell("date"),
      category: cell("category"),
      merchant: cell("merchant"),
      amount: Number(cell("amount")),
      currency: cell("currency"),
      description: cells[columns.description] ?? "",
    };
  });
  if (problems.length === 0) return expenses;
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).map((problem) => `  ${problem}`);
  if (problems.length > shown.length) shown.push(`  and ${problems.length - shown.length} more`);
  throw new ExpenseFileError(`${name} cannot be used:\n${shown.join("\n")}`);
}

type Row = { cells: string[]; line: number };

function parseRows(name: string, text: string): Row[] {
  const rows: Row[] = [];
  try {
    let line = 1;
    parse(text, {
      bom: true,
      skipEmptyLines: true,
      // One more than allowed, so that a file that is too long is detected.
      to: ROWS_MAX + 2,
      onRecord: (cells: string[], context) => {
        rows.push({ cells, line });
        line = context.lines + 1;
        return null;
      },
    });
    return rows;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new ExpenseFileError(`${name} is not a CSV: ${error.message}`);
  }
}

function findColumns(name: string, header: readonly string[]): Record<Column, number> {
  const names = header.map((cell) => cell.trim());
  const missing = COLUMNS.filter((column) => !names.includes(column));
  const twice = COLUMNS.filter((column) => names.indexOf(column) !== names.lastIndexOf(column));
  if (missing.length > 0) {
    const found = names.length === 0 ? "none" : names.map((cell) => JSON.stringify(cell)).join(", ");
    throw new ExpenseFileError(
      `${name} has no ${plural(missing.length, "column")} ${missing.join(", ")} (columns are separated by commas; found: ${found.slice(0, 300)})`,
    );
  }
  if (twice.length > 0) throw new ExpenseFileError(`${name} has the column ${twice.join(", ")} twice`);
  return Object.fromEntries(COLUMNS.map((column) => [column, names.indexOf(column)])) as Record<Column, number>;
}

/** The problem of a cell, if any. */
function cellProblem(column: Column, value: string): string | undefined {
  const shown = JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value.includes("\0")) return "contains a NUL character";
  switch (column) {
    case "description":
      return value.length > DESCRIPTION_CHARS_MAX ? `is longer than ${DESCRIPTION_CHARS_MAX} characters` : undefined;
    case "amount":
      if (!/^-?\d+(?:\.\d+)?$/.test(value)) return `must be a number such as 12.50, not ${shown}`;
      return Math.abs(Number(value)) > AMOUNT_MAX ? `${shown} is beyond ${AMOUNT_MAX}` : undefined;
    case "currency":
      return /^[A-Z]{3}$/.test(value) ? undefined : `must be three capital letters such as EUR, not ${shown}`;
    case "date":
      return isDate(value) ? undefined : `must be a day such as 2026-03-31, not ${shown}`;
    default:
      if (value === "") return "is empty";
      return value.length > NAME_CHARS_MAX ? `is longer than ${NAME_CHARS_MAX} characters` : undefined;
  }
}

function isDate(value: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(value)) return false;
  const date = new Date(`${value}T00:00:00Z`);
  // Date parses 31 February as a day in March.
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(value);
}

function plural(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`;
}
