import { expect, test } from "vitest";
import type { Command } from "../../core/decision.ts";
import type { Wait } from "../../core/wait.ts";
import { parameterBytesOf } from "../../store/postgres/commit.ts";
import { runOf } from "../../../../tests/support/test-world.ts";
import { eventOf, groupOf, jobOf, startOf, TIME_ZERO } from "../../store/suite/fixtures.ts";
import { buildTransition } from "./build.ts";

/** An object that counts how often it is written as text. */
function countedObject(): { value: { text: string }; writes(): number } {
  let writes = 0;
  const value = { text: "x".repeat(500 * 1024) };
  Object.defineProperty(value, "toJSON", {
    value() {
      writes += 1;
      return { text: value.text };
    },
  });
  return { value, writes: () => writes };
}

test("a payload is written as text once for its transition: to be counted, and to be stored", () => {
  const [job, event, details] = [countedObject(), countedObject(), countedObject()];
  const { after } = startOf({ tenantId: "default", runId: "run-1" });
  const wait: Wait = {
    wait_id: "w".repeat(26),
    asks: "question",
    node_id: "ask",
    create_time: TIME_ZERO,
    prompt: "Sure?",
    answer_schema: true,
    details: details.value,
  };
  const channel = { tenantId: "default", scope: "global", scopeId: "" } as const;
  const commands: Command[] = [
    { type: "emit", event: eventOf(channel, { name: "go", payload: event.value }) },
    { type: "open_wait", wait, seq: 1 },
  ];
  const { transition, bytes } = buildTransition({
    plan: { after: after.state, records: [], commands },
    headHash: after.headHash,
    requestDigest: after.requestDigest,
    laneId: 1,
    consumedMail: [],
    jobs: [jobOf("key-1", { payload: job.value })],
  });
  const sent = parameterBytesOf({ laneId: 1, batchNo: 1, items: [groupOf(transition)] });
  expect(bytes).toBeGreaterThan(3 * 500 * 1024);
  expect(sent).toBeGreaterThan(3 * 500 * 1024);
  expect([job.writes(), event.writes(), details.writes()]).toEqual([1, 1, 1]);
});

test("jobs of on_cancel are not held by a pause that came before the cancel, in one transition", () => {
  const call = { toolCalls: { calls: [{ name: "work" }] } };
  const run = runOf({ work: call, undo: call }, { workflow: { onCancel: "undo" } });
  const told = run.allCommands.length;
  // Mail is read together, and the run then advances into the same transition.
  run.perform({ type: "mail", letters: ["pause", "cancel"].map((kind) => ({ kind, body: {} })) });
  run.settle();
  const commands = run.allCommands.slice(told);
  expect(commands.map(({ type }) => type)).toEqual(["hold_jobs", "notice", "cancel_jobs", "create_jobs"]);
  const { after } = startOf({ tenantId: "default", runId: "run-1" });
  const { transition } = buildTransition({
    plan: { after: run.state, records: [], commands },
    headHash: after.headHash,
    requestDigest: after.requestDigest,
    laneId: 1,
    consumedMail: [],
    jobs: [jobOf("key-1")],
  });
  expect(transition.after.state).toMatchObject({ paused: false, cancelling: true });
  expect(transition).toMatchObject({ cancelJobs: true });
  expect(transition).not.toHaveProperty("holdJobs");
});
