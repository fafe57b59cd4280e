/** Histories of runs: tests/support/history.ts says how to read one. `UPDATE_HISTORIES=1` writes their outputs anew. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

import { COMMANDS, playHistory } from "../../../tests/support/history.ts";
import type { RecordKind } from "./records.ts";

const FOLDER = path.join(import.meta.dirname, "testdata");
const names = readdirSync(FOLDER).toSorted();

const read = (name: string) => readFileSync(path.join(FOLDER, name), "utf8");

describe("what came of each command", () => {
  test.each(names)("%s", (name) => {
    const text = read(name);
    const played = playHistory(text);
    if (process.env.UPDATE_HISTORIES === "1") writeFileSync(path.join(FOLDER, name), played);
    else expect(played).toBe(text);
    expect(text, "a history begins with what it shows").toMatch(/^# /);
  });
});

/** Every kind; the type says when one is missing. */
const KINDS: Record<RecordKind, true> = {
  "run.started": true,
  "run.resumed": true,
  "run.paused": true,
  "run.unpaused": true,
  "run.cancel_requested": true,
  "run.completed": true,
  "run.failed": true,
  "run.cancelled": true,
  "step.started": true,
  "step.waiting": true,
  "step.completed": true,
  "step.failed": true,
  "call.completed": true,
  "call.failed": true,
  "call.retrying": true,
};

describe("histories", () => {
  const all = () => names.map(read).join("\n");

  test.each(Object.keys(KINDS))("show a record %s", (kind) => {
    expect(all()).toMatch(new RegExp(`^  \\d+ ${kind.replace(".", "\\.")}`, "m"));
  });

  test.each(Object.keys(COMMANDS))("show a command %s", (type) => {
    expect(all()).toMatch(new RegExp(`^  (?:> |    )(?:.*; )?${type}\\b`, "m"));
  });
});

describe("a history with a fault is seen", () => {
  const workflow = "workflow\nnodes: { end: { complete: {} } }\n----\nflow begins at end\n";

  test("a command that is not known", () => {
    expect(() => playHistory(`${workflow}\ndance\n----\nnothing\n`)).toThrow("a history has no command dance");
  });

  test("a command without what came of it", () => {
    const text = "workflow\nnodes: { end: { complete: {} } }\n";
    expect(playHistory(text)).toBe(workflow);
  });

  test("a file without commands", () => {
    expect(() => playHistory("# Nothing happens.\n")).toThrow("a history has a command");
  });

  test("an outcome of a handler that nothing asks for", () => {
    const text = `${workflow}\nhandler { type: lost }\n----\n1 to come\n\nstart\n`;
    expect(() => playHistory(text)).toThrow("every outcome of a handler is asked for");
  });

  test("something else that came of a command", () => {
    const text = workflow.replace("at end\n", "at the end\n");
    expect(playHistory(text)).toBe(workflow);
  });
});
