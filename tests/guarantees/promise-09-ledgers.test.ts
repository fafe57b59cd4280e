/** Promise 9: ledgers are gapless, hash-linked and never rewritten; their fold is the run's state, always. */
import { describe, expect, test } from "vitest";
import {
  answer,
  emitRequest,
  freshCaller,
  ledgerProblems,
  readLedger,
  refusalOf,
  startRequest,
  STORE_KINDS,
  turn,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { askingThenListeningGraph } from "./graphs.ts";
import { useTwoServers } from "./servers.ts";

describe.each(STORE_KINDS)("promise 9, ledgers, on %s", (kind) => {
  const servers = useTwoServers(kind);

  test("whatever two servers do to runs at once, each ledger only grows, and always folds to its state", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = { ...askingThenListeningGraph({ timeout: "1h" }), onCancel: "undo" };
    definition.nodes["undo"] = { assign: { values: { undone: true } }, next: [{ to: "done" }] };
    await a.engine.registerWorkflow(caller, definition);
    const requests = Array.from({ length: 12 }, () => startRequest(definition.workflowId));
    const keys = requests.map(({ runId }) => ({ tenantId: caller.tenantId, runId: runId! }));
    await Promise.all(requests.map((request) => refusalOf(a.engine.startRun(caller, request))));
    const copies = new Map<string, string[]>();
    const problems: string[] = [];
    let isOver = false;
    const looking = (async () => {
      while (!isOver) {
        await turn();
        for (const key of keys) {
          problems.push(...(await ledgerProblems(b.store, key)));
          const records = (await readLedger(b.store, key)).map(
            ({ header, parts, hash }) => `${hash} ${header} ${parts.map(({ text }) => text).join(" ")}`,
          );
          const before = copies.get(key.runId) ?? [];
          if (before.some((record, index) => record !== records[index])) problems.push(`${key.runId} was rewritten`);
          copies.set(key.runId, records);
        }
      }
    })();
    await Promise.all(
      requests.map(async ({ runId }, index) => {
        const [first, second] = index % 2 === 0 ? [a, b] : [b, a];
        const run = await untilWaiting(first, caller, runId!);
        const control = { runId: runId!, reason: "a test" };
        await Promise.all([
          refusalOf(first.engine.pauseRun(caller, control)),
          refusalOf(answer(second, caller, run, index)),
          refusalOf(second.engine.unpauseRun(caller, control)),
          refusalOf(first.engine.tickRun(caller, { runId: runId!, maxSteps: 2 })),
          ...(index % 3 === 0 ? [refusalOf(second.engine.cancelRun(caller, control))] : []),
        ]);
        await refusalOf(first.engine.unpauseRun(caller, control));
      }),
    );
    await Promise.all(requests.map(() => a.engine.emitEvent(caller, emitRequest("order.paid"))));
    for (const { runId } of requests) await untilEnded(b, caller, runId!);
    isOver = true;
    await looking;
    for (const key of keys) problems.push(...(await ledgerProblems(a.store, key)));
    expect(problems).toEqual([]);
    // Something was read along the way, and the records that were there then are still the same.
    expect(copies.size).toBe(12);
  });

  test("a refused operation leaves no trace", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const definition = askingThenListeningGraph();
    await a.engine.registerWorkflow(caller, definition);
    const request = startRequest(definition.workflowId);
    const run = await a.engine.startRun(caller, request);
    const before = await readLedger(a.store, run.state);
    const { runId } = run.state;
    expect(await refusalOf(b.engine.resumeRun(caller, { runId, waitId: "other", payload: { answer: 1 } }))).toBe(
      "WAIT_UNKNOWN",
    );
    expect(await refusalOf(b.engine.unpauseRun(caller, { runId }))).toBe("RUN_NOT_PAUSED");
    expect(await refusalOf(b.engine.startRun(caller, { ...request, vars: { other: 1 } }))).toBe("RUN_EXISTS");
    expect(await refusalOf(b.engine.deleteRun(caller, runId))).toBe("RUN_NOT_ENDED");
    expect(await readLedger(a.store, run.state)).toEqual(before);
    expect((await b.engine.getRun(caller, runId, "full")).state).toEqual(run.state);
  });
});
