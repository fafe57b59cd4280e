import * as fc from "fast-check";
import type { StepRecordDraft } from "../records.ts";
import { expect, test } from "vitest";

import { sealRecords } from "../../engine/transition/seal.ts";
import { fold } from "./fold.ts";
import { DomainError } from "../errors.ts";
import { canonicalJson, type Json } from "../json/json.ts";
import { draftFromSealed, NO_PREVIOUS_HASH } from "../ledger-format.ts";
import { arbitraryGraph, arbitraryHappenings, arbitraryStart, playRun } from "../../../../tests/support/random-run.ts";
import { compileWorkflow } from "../compile/workflow.ts";
import type { Workflow } from "../graph/graph.ts";
import type { WorkflowDefinition } from "../graph/definition.ts";

const RUNS = 3_000;

/** Undefined: the graph is refused, as a registration would be. */
function compiled(definition: WorkflowDefinition): Workflow | undefined {
  try {
    return compileWorkflow(definition, 1);
  } catch (error) {
    if (error instanceof DomainError && error.reason === "WORKFLOW_INVALID") return undefined;
    throw error;
  }
}

// The invariants of every transition are asserted by test-world.ts while the run is played.
test("promise 9: at every point of a random run, fold(ledger) is the run's state", () => {
  const seen = { graphs: 0, valid: 0, kinds: new Set<string>(), ends: new Set<string>() };
  fc.assert(
    fc.property(arbitraryGraph, arbitraryStart, arbitraryHappenings, (definition, start, happenings) => {
      seen.graphs += 1;
      const workflow = compiled(definition);
      if (workflow === undefined) return;
      seen.valid += 1;
      const run = playRun(workflow, start, happenings);
      if (run === undefined) return;
      const { sealed } = sealRecords(run.records as StepRecordDraft[], NO_PREVIOUS_HASH);
      const stored = structuredClone(sealed);
      const read = stored.map(draftFromSealed);
      expect(canonicalJson(fold(read) as unknown as Json)).toBe(canonicalJson(run.state as unknown as Json));
      expect(read).toEqual(run.records);
      for (const record of run.records) {
        seen.kinds.add(record.kind);
        if (record.body.error !== undefined) seen.ends.add(record.body.error.code);
      }
    }),
    { numRuns: RUNS },
  );
  // The property says nothing about runs that were never made.
  expect(seen.valid / seen.graphs).toBeGreaterThan(0.5);
  expect([...seen.kinds].toSorted()).toEqual([
    "call.completed",
    "call.failed",
    "call.retrying",
    "run.cancel_requested",
    "run.cancelled",
    "run.completed",
    "run.failed",
    "run.paused",
    "run.resumed",
    "run.started",
    "run.unpaused",
    "step.completed",
    "step.failed",
    "step.started",
    "step.waiting",
  ]);
  expect([...seen.ends].toSorted()).toEqual([
    "APPROVAL_DENIED",
    "BAD_INPUT",
    "BROKEN",
    "EVALUATION_FAILED",
    "LIMIT_MAX_STEPS",
    "NO_EDGE",
    "RESULT_INVALID",
    "RUN_TIMEOUT",
    "STORE_REJECTED",
    "TOOL_FAILED",
    "UNDECLARED_NODE",
  ]);
});
