/**
 * Costs do not grow with the square of the calls: what one settlement writes does not depend on how many calls settled
 * before it. The tests count the bytes that each commit sends to Postgres.
 */
import { expect, test } from "vitest";
import type { Decision } from "../../server/src/core/decision.ts";
import { decide } from "../../server/src/core/decide.ts";
import { NO_PREVIOUS_HASH } from "../../server/src/core/ledger-format.ts";
import { callsOf } from "../../server/src/core/run.ts";
import { startRun } from "../../server/src/core/start-run.ts";
import { buildTransition } from "../../server/src/engine/transition/build.ts";
import { parameterBytesOf } from "../../server/src/store/postgres/commit.ts";
import type { StoredRun } from "../../server/src/store/contract/runs.ts";
import { START_TIME, workflowOf } from "../support/test-world.ts";

const RESULT = "x".repeat(898);
const RESULT_BYTES = JSON.stringify(RESULT).length;

type Committed = { run: StoredRun; bytes: number };

/** Commits a decision in a batch of its own, as the engine would. */
function commitAlone(before: StoredRun | undefined, { run, records, commands }: Decision): Committed {
  const { transition } = buildTransition({
    ...(before === undefined ? {} : { before }),
    plan: { after: run, records, commands },
    headHash: before?.headHash ?? NO_PREVIOUS_HASH,
    requestDigest: "d".repeat(64),
    laneId: 1,
    consumedMail: [],
    jobs: commands.flatMap((command) => (command.type === "create_jobs" ? command.jobs : [])),
    leaseOf: () => ({ leaseNo: 1, digest: "e".repeat(64) }),
  });
  const batch = { laneId: 1, batchNo: 1, items: [{ type: "group" as const, transitions: [transition] }] };
  return { run: transition.after, bytes: parameterBytesOf(batch) };
}

/** Calls tools in parallel, and settles each in a transition of its own. @returns the bytes of each settlement */
function settleOneByOne(calls: number): number[] {
  const workflow = workflowOf({ it: { toolCalls: { callsFrom: "vars.calls" } } });
  const list = Array.from({ length: calls }, (_, n) => ({ name: "search", arguments: { n } }));
  const started = startRun(
    {
      type: "start",
      now: START_TIME,
      tenantId: "acme",
      runId: "run-1",
      vars: { calls: list },
      labels: {},
      limits: {},
      paused: false,
      channels: { run: 0, session: 0, workflow: 0, global: 0 },
    },
    workflow,
  );
  let { run } = commitAlone(undefined, started);
  const step = decide(run.state, { type: "advance", now: START_TIME }, workflow) as Decision;
  ({ run } = commitAlone(run, step));
  return callsOf(run.state).map(({ idempotency_key: idempotencyKey }) => {
    const end = {
      idempotencyKey,
      attempt: 1,
      isAtMostOnce: false,
      outcome: { output: RESULT },
      random: 0,
      actorId: "worker-1",
    };
    const settled = decide(run.state, { type: "settle", now: START_TIME, ends: [end] }, workflow) as Decision;
    const committed = commitAlone(run, settled);
    run = committed.run;
    return committed.bytes;
  });
}

test.each([10, 100, 1_000])("%i calls: each byte of a result is written at most four times", (calls) => {
  const bytes = settleOneByOne(calls);
  expect(bytes).toHaveLength(calls);
  // The last settlement is among them: it ends the run, and writes its output, which contains all results.
  const written = bytes.reduce((sum, one) => sum + one, 0);
  expect(written / (calls * RESULT_BYTES)).toBeLessThanOrEqual(4);
  // The last results cost as little as the first ones.
  expect(bytes.at(-2)! / bytes[0]!).toBeLessThan(1.1);
});
