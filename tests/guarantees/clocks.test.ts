/**
 * docs/postgres.md, "Clocks". Clocks that are set, forward and back, by seconds and by years: what is due is due by the
 * database's time, nothing fires twice, the records of a run are in the order of time, and pages and cursors leave
 * nothing out.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import type { RunView } from "../../server/src/engine/api.ts";
import { createMemoryDatabase, createMemoryStore } from "../../server/src/store/memory/store.ts";
import {
  answer,
  emitRequest,
  freshCaller,
  ledgerProblems,
  readLedger,
  type SharedDatabase,
  startRequest,
  startRun,
  startTestServer,
  type TestServer,
  untilEnded,
  untilWaiting,
} from "../support/engine.ts";
import { askingGraph, graph, listeningGraph } from "./graphs.ts";

const SECOND_MS = 1_000;
const YEAR_MS = 365 * 86_400 * SECOND_MS;

const STEPS = [
  ["40 s forward", 40 * SECOND_MS],
  ["40 s back", -40 * SECOND_MS],
  ["3 years forward", 3 * YEAR_MS],
  ["3 years back", -3 * YEAR_MS],
] as const;

const servers: TestServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

/** A server, and the step of its database's clock. */
async function startBesideClock() {
  let shiftMs = 0;
  const now = () => Math.round((performance.timeOrigin + performance.now() + shiftMs) * 1000);
  const memory = createMemoryDatabase({ now });
  const database: SharedDatabase = {
    kind: "memory",
    url: "",
    openStore: () => createMemoryStore(memory),
    close: () => Promise.resolve(),
  };
  const server = await startTestServer(database, { renewMs: 20, pollMs: 20 });
  servers.push(server);
  const caller = freshCaller();
  return {
    server,
    caller,
    now,
    begin: (definition: WorkflowDefinition, facts = {}) => startRun(server, caller, definition, facts),
    /** Steps the clock, and returns after the server has read it. */
    async step(ms: number): Promise<void> {
      shiftMs += ms;
      for (const moment of ["before", "after"] as const) {
        const renewal = server.hold("lanes.renew", moment);
        await renewal.reached;
        renewal.release();
      }
    },
    async endOf(run: RunView): Promise<RunView> {
      const { runId } = run.state;
      const ended = await untilEnded(server, caller, runId);
      expect(await ledgerProblems(server.store, { tenantId: caller.tenantId, runId })).toEqual([]);
      return ended;
    },
    async recordsOf(run: RunView) {
      const key = { tenantId: caller.tenantId, runId: run.state.runId };
      const records = await readLedger(server.store, key);
      return records.map(({ header }) => JSON.parse(header) as { kind: string; time: string });
    },
  };
}

const resting = (after: string) =>
  graph({ rest: { waitUntil: { after }, next: [{ to: "done" }] }, done: { complete: {} } });

describe.each(STEPS)("a database whose clock is set %s", (_said, ms) => {
  test("timers that begin after it fire on time", async () => {
    const { server, begin, step, endOf, recordsOf } = await startBesideClock();
    await endOf(await begin(resting("1ms")));
    await step(ms);
    const runs = await Promise.all([
      begin(resting("30ms")),
      begin(
        graph({
          rest: { waitUntil: { at: "${now + duration('30ms')}" }, next: [{ to: "done" }] },
          done: { complete: {} },
        }),
      ),
      begin(askingGraph({ timeout: "30ms" })),
      begin(listeningGraph({ timeout: "30ms" })),
      begin(askingGraph(), { limits: { runTimeout: "30ms" } }),
      begin(
        graph({
          call: {
            toolCalls: { calls: [{ name: "nobody-has-it", arguments: {} }] },
            policy: { queueTimeout: "30ms" },
            next: [{ to: "done" }],
          },
          done: { complete: {} },
        }),
      ),
    ]);
    for (const run of runs) {
      await endOf(run);
      const kinds = (await recordsOf(run)).map(({ kind }) => kind);
      expect(new Set(kinds).size, `no record twice in ${kinds.join()}`).toBe(kinds.length);
    }
    expect(server.errors).toEqual([]);
  });

  test("a run that is over it goes on by the new time, and its records' times never fall", async () => {
    const { server, caller, begin, step, endOf, recordsOf } = await startBesideClock();
    const definition = graph({
      ask: { askUser: { prompt: "Sure?" }, next: [{ to: "rest" }] },
      rest: { waitUntil: { after: "30ms" }, next: [{ to: "listen" }] },
      listen: {
        waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL", timeout: "1h" },
        resultKey: "event",
        next: [{ to: "done" }],
      },
      done: { complete: { output: "${vars.event.timed_out}" } },
    });
    const run = await begin(definition);
    const asked = await untilWaiting(server, caller, run.state.runId);
    await step(ms);
    await answer(server, caller, asked, "yes");
    await server.engine.emitEvent(caller, emitRequest("order.paid"));
    expect((await endOf(run)).state.output).toBe(false);
    const times = (await recordsOf(run)).map(({ time }) => time);
    expect(times).toEqual(times.toSorted());
  });

  test("an event from before it is taken by a wait that begins after it", async () => {
    const { server, caller, begin, step, endOf } = await startBesideClock();
    const run = await begin(
      graph({
        ask: { askUser: { prompt: "Sure?" }, next: [{ to: "listen" }] },
        listen: {
          waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL", timeout: "1h" },
          resultKey: "event",
          next: [{ to: "done" }],
        },
        done: { complete: { output: "${vars.event.timed_out}" } },
      }),
    );
    const asked = await untilWaiting(server, caller, run.state.runId);
    await server.engine.emitEvent(caller, emitRequest("order.paid"));
    await step(ms);
    await answer(server, caller, asked, "yes");
    expect((await endOf(run)).state.output).toBe(false);
  });

  test("lists page through every run from before and after it", async () => {
    const { server, caller, begin, step } = await startBesideClock();
    const definition = askingGraph();
    const first = [await begin(definition)];
    const start = async () => {
      const view = await server.engine.startRun(caller, startRequest(definition.workflowId));
      return await untilWaiting(server, caller, view.state.runId);
    };
    for (let count = 0; count < 3; count++) first.push(await start());
    await step(ms);
    const ids = new Set([...first, await start(), await start()].map(({ state }) => state.runId));
    for (const order of ["create_time_asc", "create_time_desc", "update_time_desc"] as const) {
      const seen: string[] = [];
      let pageToken = "";
      do {
        const page = await server.engine.listRuns(caller, { filter: {}, order, view: "basic", pageSize: 2, pageToken });
        seen.push(...page.runs.map(({ state }) => state.runId));
        ({ nextPageToken: pageToken } = page);
      } while (pageToken !== "");
      expect(seen.toSorted()).toEqual([...ids].toSorted());
    }
  });
});

test("a timer that sleeps while the clock is set forward past it fires at once", async () => {
  const { server, caller, begin, step, endOf } = await startBesideClock();
  const run = await begin(resting("1h"));
  await untilWaiting(server, caller, run.state.runId);
  await step(2 * 3_600_000);
  expect((await endOf(run)).state.status).toBe("completed");
});
