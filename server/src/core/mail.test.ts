import { describe, expect, test } from "vitest";

import { createTestRun, runOf, type TestRun, workflowOf } from "../../../tests/support/test-world.ts";
import type { NodeDefinition } from "./graph/definition.ts";
import type { Json } from "./json/json.ts";
import { controlLetter, type Letter } from "./mail.ts";
import { openWaitOf } from "./run.ts";

const question: NodeDefinition = { askUser: { prompt: "?" }, next: [{ to: "end" }] };
const end: NodeDefinition = { complete: {} };

/** The kinds of the records of one reading. */
function read(run: TestRun, ...letters: Letter[]): string[] {
  return run.perform({ type: "mail", letters }).map(({ kind }) => kind);
}

const [cancel, pause, unpause] = (["cancel", "pause", "unpause"] as const).map((kind) => controlLetter(kind, {}));

describe("several letters", () => {
  test("are read in their order, each on the state that the one before it left", () => {
    const run = runOf({ ask: question, end });
    expect(read(run, pause!, unpause!, pause!)).toEqual(["run.paused", "run.unpaused", "run.paused"]);
    expect(run.state).toMatchObject({ status: "waiting", paused: true });
  });

  test("make one decision, with the commands of each", () => {
    const run = runOf({ work: { handler: {} } });
    const before = run.allCommands.length;
    read(run, pause!, unpause!, cancel!);
    expect(run.allCommands.slice(before)).toEqual([
      { type: "hold_jobs", held: true },
      { type: "notice", kind: "paused", seq: 3 },
      { type: "hold_jobs", held: false },
      { type: "notice", kind: "unpaused", seq: 4 },
      { type: "cancel_jobs" },
      { type: "notice", kind: "cancelled", seq: 5 },
    ]);
  });

  test("carry the actor and the reason of each", () => {
    const run = runOf({ ask: question, end });
    const letters = [
      controlLetter("pause", { actorId: "ada", reason: "lunch" }),
      controlLetter("cancel", { actorId: "bob", reason: "enough" }),
    ];
    expect(run.perform({ type: "mail", letters })).toMatchObject([
      { kind: "run.paused", actor_id: "ada", body: { reason: "lunch" } },
      { kind: "run.cancelled", actor_id: "bob", body: { reason: "enough" } },
    ]);
  });

  test("with a cancel begin on_cancel once, and close the wait", () => {
    const run = runOf(
      { ask: question, end, undo: { assign: {}, next: [{ to: "end" }] } },
      { workflow: { onCancel: "undo" } },
    );
    const waitId = openWaitOf(run.state)!.wait_id;
    expect(read(run, pause!, cancel!, cancel!)).toEqual(["run.paused", "run.cancel_requested"]);
    expect(run.allCommands.at(-1)).toMatchObject({ type: "close_wait", waitId, by: "cancel" });
    expect(run.settle()).toMatchObject({ status: "cancelled", paused: false });
  });
});

describe("a letter that has nothing to change is passed over", () => {
  test.each<[string, () => TestRun, Letter]>([
    ["a pause of a paused run", () => createTestRun(workflowOf({ ask: question, end }), { paused: true }), pause!],
    ["an unpause of a run that is not paused", () => runOf({ ask: question, end }), unpause!],
    ["a kind that this release does not know", () => runOf({ ask: question, end }), { kind: "hug", body: { arms: 2 } }],
    ["a kind that is a name of every object", () => runOf({ ask: question, end }), { kind: "constructor", body: {} }],
  ])("%s", (_what, make, letter) => {
    const run = make();
    const { state, allCommands } = run;
    const said = allCommands.length;
    expect(read(run, letter)).toEqual([]);
    expect(run.state).toBe(state);
    expect(run.allCommands.length).toBe(said);
  });

  test("and those after it are read", () => {
    const run = runOf({ ask: question, end });
    expect(read(run, unpause!, { kind: "hug", body: null }, pause!)).toEqual(["run.paused"]);
  });
});

describe("a letter whose body is not an object asks without an actor and a reason", () => {
  test.each<Json>([null, "lunch", 7, true, ["lunch"]])("%j", (body) => {
    const run = runOf({ ask: question, end });
    const records = run.perform({
      type: "mail",
      letters: ["pause", "unpause", "cancel"].map((kind) => ({ kind, body })),
    });
    expect(records.map(({ kind, actor_id: actorId, body: { reason } }) => [kind, actorId, reason])).toEqual([
      ["run.paused", undefined, undefined],
      ["run.unpaused", undefined, undefined],
      ["run.cancelled", undefined, undefined],
    ]);
  });
});

describe("after an end", () => {
  test.each([cancel!, pause!, unpause!, { kind: "hug", body: {} }])(
    "a letter is passed over, not refused: $kind",
    (letter) => {
      const run = runOf({ end });
      expect(read(run, letter)).toEqual([]);
      expect(run.state.status).toBe("completed");
    },
  );

  test("that a letter before it brought, too", () => {
    const run = runOf({ ask: question, end });
    expect(read(run, cancel!, pause!, cancel!, unpause!)).toEqual(["run.cancelled"]);
    expect(run.state).toMatchObject({ status: "cancelled", paused: false });
  });
});

test("no mail changes nothing", () => {
  const run = runOf({ ask: question, end });
  expect(read(run)).toEqual([]);
});
