/**
 * The file that orders the tool's executions and the test's observations: every line is one append (O_APPEND), from any
 * process. A line below another was written after it; no clocks are compared.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/** An execution of the tool, written as the first and as the last thing that it does. */
export type ExecutionLine = {
  event: "start" | "end";
  key: string;
  attempt: number;
  /** Unique to the execution; also in its output. */
  execution: string;
  pid: number;
  /** Epoch milliseconds. */
  time: number;
  /** Only of an end. */
  outcome?: "returned" | "failed";
};

/** The test has received the `call.completed` of the key, so it was committed before. */
export type SeenLine = { event: "seen"; key: string; time: number };

export type LogLine = ExecutionLine | SeenLine;

export type ToolLog = { write(line: LogLine): void; close(): void };

export function openToolLog(file: string): ToolLog {
  const descriptor = openSync(file, "a");
  return {
    // One write for each line, far below the size that is split: a killed process leaves whole lines.
    write: (line) => void writeSync(descriptor, `${JSON.stringify(line)}\n`),
    close: () => closeSync(descriptor),
  };
}

/** @throws {SyntaxError} if a line is torn */
export function readToolLog(file: string): LogLine[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogLine);
}
