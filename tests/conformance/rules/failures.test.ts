/** How nodes and runs fail, and what on_cancel does. */
import { describe, expect, test } from "vitest";
import { createApi, type Json, type JsonObject, type Run } from "../api.ts";
import { useServer } from "../server.ts";

const api = createApi(useServer());

const shown = { complete: { output: { error: "${error}" } } };
/** Fails with an evaluation error. */
const broken: JsonObject = { assign: { values: { x: "${vars.nope}" } }, next: [{ to: "after" }] };
const after = { complete: { output: "after" } };

async function ended(run: Run): Promise<Run> {
  return (await api.call("AwaitRun", { runId: run.runId, reasons: ["WAIT_REASON_JOB"], timeout: "20s" })).run;
}

describe("Failure: a node fails by", () => {
  test.each<[cause: string, graph: object, error: object]>([
    [
      "an evaluation error",
      { entryNode: "node", nodes: { node: broken, after } },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
    [
      "an evaluation error of a condition",
      {
        entryNode: "node",
        nodes: { node: { assign: {}, next: [{ to: "after", when: "vars.nope" }, { to: "after" }] }, after },
      },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
    [
      "a condition that is no bool",
      {
        entryNode: "node",
        nodes: { node: { assign: {}, next: [{ to: "after", when: "1 + vars.one" }, { to: "after" }] }, after },
      },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
    [
      "no edge that holds",
      { entryNode: "node", nodes: { node: { assign: {}, next: [{ to: "after", when: "vars.one == 2" }] }, after } },
      { code: "NO_EDGE", nodeId: "node" },
    ],
    [
      "a template that gives no duration",
      { entryNode: "node", nodes: { node: { waitUntil: { after: "${vars.text}" }, next: [{ to: "after" }] }, after } },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
    [
      "a template that gives no time",
      { entryNode: "node", nodes: { node: { waitUntil: { at: "${vars.text}" }, next: [{ to: "after" }] }, after } },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
    [
      "choices that are no list",
      {
        entryNode: "node",
        nodes: { node: { askUser: { prompt: "?", choices: "${vars.text}" }, next: [{ to: "after" }] }, after },
      },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
    [
      "calls that are no list",
      { entryNode: "node", nodes: { node: { toolCalls: { callsFrom: "vars.text" }, next: [{ to: "after" }] }, after } },
      { code: "EVALUATION_FAILED", nodeId: "node" },
    ],
  ])("%s", async (_cause, graph, error) => {
    const run = await api.run(graph, { vars: { one: 1, text: "t" } });
    expect(run).toMatchObject({ status: "RUN_STATUS_FAILED", currentNode: "node", error });
    expect(run.error!.message).toMatch(/./);
    expect(run.output).toBeUndefined();
    expect(run.endTime).toBeDefined();
    expect((await api.records(run.runId)).at(-1)).toMatchObject({ kind: "run.failed", nodeId: "node", error });
  });

  test("vars that would be too large", async () => {
    const graph = {
      entryNode: "grow",
      nodes: {
        grow: {
          assign: { values: { text: "${vars.text + vars.text}" } },
          next: [{ to: "grow", when: "size(vars.text) < 4000000" }, { to: "after" }],
        },
        after,
      },
    };
    const run = await ended(await api.run(graph, { vars: { text: "x".repeat(1000) } }));
    expect(run.status).toBe("RUN_STATUS_FAILED");
    expect(["EVALUATION_FAILED", "EXPRESSION_LIMIT"]).toContain(run.error?.code);
  });
});

describe("Failure: then", () => {
  test.each<[sentence: string, graph: object, output: Json]>([
    ["its on_error", { entryNode: "node", nodes: { node: { ...broken, onError: "shown" }, after, shown } }, "node"],
    ["else the workflow's", { onError: "shown", entryNode: "node", nodes: { node: broken, after, shown } }, "node"],
    [
      "its own before the workflow's",
      { onError: "after", entryNode: "node", nodes: { node: { ...broken, onError: "shown" }, after, shown } },
      "node",
    ],
    [
      "the on_error of the last failure's node, where one follows another",
      {
        entryNode: "node",
        nodes: { node: { ...broken, onError: "second" }, second: { ...broken, onError: "shown" }, after, shown },
      },
      "second",
    ],
  ])("%s", async (_sentence, graph, failedNode) => {
    const run = await api.run(graph);
    expect(run).toMatchObject({
      status: "RUN_STATUS_COMPLETED",
      output: { error: { code: "EVALUATION_FAILED", node_id: failedNode } },
    });
    // It remains readable.
    expect(run.error).toMatchObject({ code: "EVALUATION_FAILED", nodeId: failedNode });
    const failed = (await api.records(run.runId)).find(
      ({ nodeId, kind }) => nodeId === failedNode && kind === "step.failed",
    );
    expect(failed).toMatchObject({ status: "STEP_STATUS_FAILED", nextNode: "shown" });
  });

  test("else the run is FAILED", async () => {
    expect((await api.run({ entryNode: "node", nodes: { node: broken, after } })).status).toBe("RUN_STATUS_FAILED");
  });

  test("the workflow's on_error does not handle its own failure", async () => {
    const run = await api.run({
      onError: "rescue",
      entryNode: "node",
      nodes: { node: broken, after, rescue: { ...broken } },
    });
    expect(run).toMatchObject({ status: "RUN_STATUS_FAILED", error: { nodeId: "rescue" } });
  });

  test("a failure after the workflow's on_error is not handled by it again", async () => {
    const nodes = { node: broken, after, rescue: { assign: {}, next: [{ to: "worse" }] }, worse: { ...broken } };
    const run = await ended(await api.run({ onError: "rescue", entryNode: "node", nodes, limits: { maxSteps: 50 } }));
    expect(run).toMatchObject({ status: "RUN_STATUS_FAILED", error: { code: "EVALUATION_FAILED", nodeId: "worse" } });
  });

  test("error stays readable until the next failure", async () => {
    const nodes = {
      first: { ...broken, onError: "between" },
      between: { assign: { values: { first: "${error.node_id}" } }, next: [{ to: "second" }] },
      second: { assign: {}, next: [{ to: "after", when: "false" }], onError: "end" },
      after,
      end: { complete: { output: ["${vars.first}", "${error.node_id}", "${error.code}"] } },
    };
    expect((await api.run({ entryNode: "first", nodes })).output).toEqual(["first", "second", "NO_EDGE"]);
  });

  test("fail ends the run, whatever on_error says", async () => {
    const nodes = { node: { fail: { code: "${vars.code}", message: "no ${vars.code}" } }, shown };
    const run = await api.run(
      { entryNode: "start", onError: "shown", nodes: { start: { assign: {}, next: [{ to: "node" }] }, ...nodes } },
      { vars: { code: "REFUSED" } },
    );
    expect(run).toMatchObject({
      status: "RUN_STATUS_FAILED",
      error: { code: "REFUSED", message: "no REFUSED", nodeId: "node" },
    });
  });

  test("a timeout is a result, never a failure", async () => {
    const nodes = {
      node: {
        waitEvent: { names: ["e"], timeout: "10ms" },
        resultKey: "event",
        next: [{ to: "shown" }],
        onError: "after",
      },
      shown: { complete: { output: "${vars.event.timed_out}" } },
      after,
    };
    expect(await ended(await api.run({ entryNode: "node", nodes }))).toMatchObject({
      status: "RUN_STATUS_COMPLETED",
      output: true,
    });
  });

  test.each<[effect: string, node: JsonObject, output: object]>([
    ["answer_user", { answerUser: { message: "bye" } }, { message: "bye" }],
    ["emit_event", { emitEvent: { name: "e", eventId: "last-words" } }, { event_id: "last-words" }],
    ["wait_event", { waitEvent: { names: ["e"], timeout: "10ms" } }, { timed_out: true }],
    ["ask_user", { askUser: { prompt: "?", timeout: "10ms", defaultAnswer: 7 } }, { answer: 7, timed_out: true }],
  ])("an effect without next completes the run with its result: %s", async (_effect, node, output) => {
    const run = await ended(await api.run({ entryNode: "node", nodes: { node } }));
    expect(run).toMatchObject({ status: "RUN_STATUS_COMPLETED", output });
  });

  test("max_steps fails the run", async () => {
    const nodes = {
      a: { assign: {}, next: [{ to: "a", when: "vars.?stop != optional.of(true)" }, { to: "after" }] },
      after,
    };
    const run = await ended(await api.run({ entryNode: "a", nodes, limits: { maxSteps: 25 } }));
    expect(run).toMatchObject({
      status: "RUN_STATUS_FAILED",
      error: { code: "LIMIT_MAX_STEPS" },
      usage: { steps: 25 },
    });
    const less = await ended(
      await api.run({ entryNode: "a", nodes, limits: { maxSteps: 25 } }, { limits: { maxSteps: 7 } }),
    );
    expect(less.usage?.steps).toBe(7);
  });

  test("run_timeout fails the run, waits included", async () => {
    const graph = { entryNode: "node", nodes: { node: { askUser: { prompt: "?" } } }, limits: { runTimeout: "50ms" } };
    expect(await ended(await api.run(graph))).toMatchObject({
      status: "RUN_STATUS_FAILED",
      error: { code: "RUN_TIMEOUT" },
    });
  });
});

describe("on_cancel", () => {
  const asking = { askUser: { prompt: "?" }, next: [{ to: "after" }] };

  test("without it a cancel ends the run at once, its wait with it", async () => {
    const { runId, waiting } = await api.run({ entryNode: "node", nodes: { node: asking, after } });
    const { run } = await api.call("CancelRun", { runId, actorId: "ann", reason: "not needed" });
    expect(run).toMatchObject({ status: "RUN_STATUS_CANCELLED" });
    expect(run.waiting).toBeUndefined();
    expect((await api.call("GetWait", { waitId: waiting!.waitId })).wait.closeTime).toBeDefined();
    const records = await api.records(runId);
    expect(records.some(({ actorId, reason }) => actorId === "ann" && reason === "not needed")).toBe(true);
    expect(records.at(-1)?.kind).toBe("run.cancelled");
    expect((await api.call("CancelRun", { runId })).run).toEqual(run);
  });

  test("runs once, before CANCELLED; a second cancel changes nothing", async () => {
    const nodes = {
      node: asking,
      after,
      undo: { assign: { append: { undone: "${now}" } }, next: [{ to: "confirm" }] },
      confirm: { askUser: { prompt: "Really?" }, next: [{ to: "finish" }] },
      finish: { complete: { output: "ignored" } },
    };
    const { runId } = await api.run({ entryNode: "node", onCancel: "undo", nodes });
    await api.call("CancelRun", { runId });
    const { run: asked } = await api.call("AwaitRun", { runId, timeout: "20s" });
    expect(asked).toMatchObject({ status: "RUN_STATUS_WAITING", currentNode: "confirm" });
    await api.call("CancelRun", { runId });
    expect((await api.call("GetRun", { runId })).run).toEqual(asked);
    await api.call("ResumeRun", { runId, waitId: asked.waiting!.waitId, payload: { answer: "yes" } });
    const { run } = await api.call("AwaitRun", { runId, timeout: "20s" });
    expect(run.status).toBe("RUN_STATUS_CANCELLED");
    expect(run.output).toBeUndefined();
    expect(run.vars?.["undone"]).toHaveLength(1);
  });

  test("is bounded by run_timeout", async () => {
    const nodes = {
      node: asking,
      after,
      undo: { askUser: { prompt: "?" }, next: [{ to: "finish" }] },
      finish: { complete: {} },
    };
    const graph = { entryNode: "node", onCancel: "undo", nodes, limits: { runTimeout: "200ms" } };
    const { runId } = await api.run(graph);
    await api.call("CancelRun", { runId });
    const run = await ended((await api.call("GetRun", { runId })).run);
    expect(run).toMatchObject({ status: "RUN_STATUS_CANCELLED", error: { code: "RUN_TIMEOUT" } });
  });

  test("a run whose jobs no worker serves can be cancelled", async () => {
    const { runId } = await api.run({ entryNode: "node", nodes: { node: { toolCalls: { calls: [{ name: "t" }] } } } });
    expect((await api.call("CancelRun", { runId })).run).toMatchObject({ status: "RUN_STATUS_CANCELLED" });
  });

  test("a paused run is unpaused for it", async () => {
    const nodes = {
      node: asking,
      after,
      undo: { assign: { values: { undone: true } }, next: [{ to: "finish" }] },
      finish: { complete: {} },
    };
    const { runId } = await api.run({ entryNode: "node", onCancel: "undo", nodes });
    await api.call("PauseRun", { runId });
    await api.call("CancelRun", { runId });
    const run = await ended((await api.call("GetRun", { runId })).run);
    expect(run).toMatchObject({ status: "RUN_STATUS_CANCELLED", vars: { undone: true } });
    expect(run.paused ?? false).toBe(false);
  });
});

describe("pause and tick", () => {
  test("a paused run takes no step, keeps its events, and its timers stand still", async () => {
    const nodes = { node: { waitUntil: { after: "20ms" }, next: [{ to: "after" }] }, after };
    const workflowId = await api.register({ entryNode: "node", nodes });
    const { run } = await api.call("StartRun", { workflowId, paused: true });
    expect(run).toMatchObject({ paused: true });
    const first = await api.call("TickRun", { runId: run.runId });
    expect(first.run).toMatchObject({ paused: true, status: "RUN_STATUS_WAITING" });
    const still = await api.call("AwaitRun", { runId: run.runId, reasons: ["WAIT_REASON_JOB"], timeout: "0.2s" });
    expect(still.run).toEqual(first.run);
    await api.call("UnpauseRun", { runId: run.runId });
    expect(await ended(run)).toMatchObject({ status: "RUN_STATUS_COMPLETED" });
  });

  test("a paused run takes up to max_steps steps and stays paused", async () => {
    const step = (to: string) => ({ assign: { append: { steps: to } }, next: [{ to }] });
    const nodes = { a: step("b"), b: step("c"), c: step("d"), d: step("after"), after };
    const workflowId = await api.register({ entryNode: "a", nodes });
    const { run } = await api.call("StartRun", { workflowId, paused: true, vars: { steps: [] } });
    expect(run).toMatchObject({ currentNode: "a", vars: { steps: [] } });
    expect((await api.call("TickRun", { runId: run.runId })).run).toMatchObject({ currentNode: "b", paused: true });
    expect((await api.call("TickRun", { runId: run.runId, maxSteps: 2 })).run).toMatchObject({
      currentNode: "d",
      paused: true,
    });
    const { run: done } = await api.call("TickRun", { runId: run.runId, maxSteps: 1000 });
    expect(done).toMatchObject({ status: "RUN_STATUS_COMPLETED" });
  });

  test("pausing a paused run returns it as it is", async () => {
    const { runId } = await api.run({ entryNode: "node", nodes: { node: { askUser: { prompt: "?" } } } });
    const paused = await api.call("PauseRun", { runId, reason: "lunch", actorId: "ann" });
    expect(await api.call("PauseRun", { runId })).toEqual(paused);
    expect((await api.records(runId)).at(-1)).toMatchObject({ kind: "run.paused", reason: "lunch", actorId: "ann" });
  });
});
