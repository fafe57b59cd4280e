/**
 * A small SQL prompt, for machines without psql: statements that end with a semicolon, `\d` for tables, `\q` to end.
 * Each statement runs in a read-only transaction of its own, so that a slip of the pen changes nothing. This is no
 * protection against the person who types.
 */
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type postgres from "postgres";

/** Longer cells are cut in a table of many rows; one row alone is shown whole. */
const CELL_CHARS_MAX = 60;
/** More rows than anybody reads. */
const ROWS_MAX = 1_000;

const COMMANDS: Readonly<Record<string, string>> = {
  "\\d": `select c.relname as table, pg_size_pretty(pg_total_relation_size(c.oid)) as size, nullif(c.reltuples, -1)::bigint as rows
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname = 'public' order by 1`,
};

export type Table = { columns: string[]; rows: (string | null)[][] };

/** Runs one statement. Rows beyond ROWS_MAX are left out. */
export async function runStatement(sql: postgres.Sql, statement: string): Promise<Table> {
  return await sql.begin("read only", async (transaction) => {
    // As a fragment it is prepared, and so can be one statement only: a second one might end the transaction.
    const result = await transaction`${transaction.unsafe(statement.replace(/;\s*$/, ""))}`.raw();
    const rows = result.slice(0, ROWS_MAX).map((row) => row.map((cell) => cell?.toString() ?? null));
    return { columns: (result.columns ?? []).map(({ name }) => name), rows };
  });
}

/** A table as text: one row as lines of `name: value`, several as columns. */
export function formatTable({ columns, rows }: Table): string {
  if (columns.length === 0) return "done\n";
  if (rows.length === 1) {
    const width = Math.max(...columns.map((name) => name.length));
    return `${columns.map((name, at) => `${name.padEnd(width)}  ${rows[0]![at] ?? "null"}`).join("\n")}\n`;
  }
  const cells = [columns, ...rows.map((row) => row.map(cellText))];
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]!.length)));
  const lines = cells.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n(${rows.length === ROWS_MAX ? `the first ${ROWS_MAX}` : rows.length} rows)\n`;
}

function cellText(cell: string | null): string {
  const line = (cell ?? "null").replaceAll(/\s+/g, " ");
  return line.length > CELL_CHARS_MAX ? `${line.slice(0, CELL_CHARS_MAX - 1)}…` : line;
}

/** Reads statements until the input ends or says `\q`. An error of one is shown, and the next is read. */
export async function runPrompt(
  sql: postgres.Sql,
  io: { input: Readable; output: Writable; isTerminal: boolean },
): Promise<void> {
  const { input, output, isTerminal } = io;
  const lines = createInterface({ input, output: isTerminal ? output : undefined, terminal: isTerminal });
  let statement = "";
  const ask = (): void => {
    lines.setPrompt(statement === "" ? "sql> " : "...> ");
    if (isTerminal) lines.prompt();
  };
  ask();
  for await (const line of lines) {
    const command = line.trim();
    if (command === "\\q") break;
    if (command.startsWith("\\")) {
      const query = COMMANDS[command];
      output.write(query === undefined ? unknownCommand(command) : await answerTo(sql, query));
    } else {
      statement = `${statement}\n${line}`.trim();
      if (statement.endsWith(";")) {
        output.write(await answerTo(sql, statement));
        statement = "";
      }
    }
    ask();
  }
  lines.close();
}

function unknownCommand(command: string): string {
  return `There is no command ${command} here: \\d lists tables, \\q ends. psql, if it is installed, has more.\n`;
}

async function answerTo(sql: postgres.Sql, statement: string): Promise<string> {
  try {
    return formatTable(await runStatement(sql, statement));
  } catch (error) {
    return `ERROR: ${error instanceof Error ? error.message : String(error)}\n`;
  }
}
