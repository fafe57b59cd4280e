import { describe, expect, test } from "vitest";

import { fold } from "../../server/src/core/fold/fold.ts";
import { canonicalJson, type Json } from "../../server/src/core/json/json.ts";
import { draftFromSealed } from "../../server/src/core/ledger-format.ts";
import type { AnyRecord, RecordKind } from "../../server/src/core/records.ts";
import { callsOf, sequelOf } from "../../server/src/core/run.ts";
import { showLedger, showRun } from "../support/shown-ledger.ts";
import { verifyLedger } from "../verifier/verify-ledger.ts";
import { readLedgers } from "./ledger-file.ts";
import { ledgers as written } from "./write-ledgers.ts";

const ledgers = readLedgers();

/** Every kind; the type check fails if one is missing. */
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

describe("ledgers that a release has stored", () => {
  test.each(ledgers)("$name folds to the state that it had then", ({ sealed, state }) => {
    expect(canonicalJson(fold(sealed.map(draftFromSealed)) as unknown as Json)).toBe(canonicalJson(state));
  });

  test.each(ledgers)("$name verifies", ({ sealed }) => {
    const run = fold(sealed.map(draftFromSealed))!;
    const verification = verifyLedger(showLedger(sealed), showRun(run));
    expect(verification).toMatchObject({ ok: true, problems: [], notes: [], stateChecked: true });
    // What GetRun does not show.
    const calls = JSON.parse(JSON.stringify(callsOf(run))) as unknown;
    expect(JSON.parse(JSON.stringify(verification.state?.calls))).toEqual(calls);
    expect(verification.state?.sequel).toEqual(sequelOf(run));
  });

  test("are complete", () => {
    expect(ledgers.map(({ name }) => name)).toEqual(written.map(({ name }) => `${name}.json`).toSorted());
  });

  test("hold every kind of record and every operation", () => {
    const drafts = ledgers.flatMap(({ sealed }) => sealed.map((record): AnyRecord => draftFromSealed(record)));
    expect(new Set(drafts.map(({ kind }) => kind))).toEqual(new Set(Object.keys(KINDS)));
    const operations = drafts.flatMap(({ body }) => [...(body.patch ?? []), ...(body.result ?? [])]);
    const forms = operations.map((op) => {
      if (!("of" in op)) return op.op;
      return `${op.op} of ${op.of}${op.at === undefined ? "" : " at"}`;
    });
    expect(new Set(forms)).toEqual(
      new Set([
        "set",
        "set of given",
        "set of given at",
        "set of result",
        "set of calls",
        "append",
        "append of given at",
        "unset",
      ]),
    );
    const keys = new Set(drafts.flatMap(({ body }) => Object.keys(body)));
    expect([...keys].toSorted()).toEqual([
      "call",
      "calls",
      "cursors",
      "deadline_time",
      "effect",
      "error",
      "handled_by",
      "output",
      "patch",
      "paused",
      "reason",
      "request_id",
      "result",
      "sequel",
      "start",
      "status",
      "to",
      "wait",
    ]);
  });
});
