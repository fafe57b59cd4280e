/** Common to every verb of a store: its calls are reported. */
import { describe, expect, it } from "vitest";
import type { Channel } from "../../core/event.ts";
import { LaneFencedError, StoreUnavailableError } from "../contract/errors.ts";
import type { Store, Verb, VerbCall } from "../contract/store.ts";
import type { OpenBench } from "./bench.ts";
import { definitionOf, digestOf, eventDelivery, eventOf, openWriter } from "./fixtures.ts";

/** The names of all verbs that a store has. */
function verbsOf(store: Store): string[] {
  return Object.entries(store).flatMap(([name, value]: [string, unknown]) => {
    if (["close", "tokenKey", "place", "shortage"].includes(name)) return [];
    return typeof value === "function" ? [name] : Object.keys(value as object).map((verb) => `${name}.${verb}`);
  });
}

/** A call of each verb that succeeds on an empty database. @param facts of a server on `store` */
function callsOf(
  store: Store,
  { tenantId, serverId, laneId }: { tenantId: string; serverId: string; laneId: number },
): Record<Verb, () => Promise<unknown>> {
  const key = { tenantId, runId: "run-1" };
  const jobKey = { tenantId, idempotencyKey: "job-1" };
  const channel: Channel = { tenantId, scope: "global", scopeId: "" };
  const worker = { tenantId, workerSessionId: "session-1", serverId };
  const event = eventDelivery(eventOf(channel, { name: "n" }));
  const definition = definitionOf("flow");
  return {
    now: () => store.now(),
    probe: () => store.probe(),
    "lanes.open": () => store.lanes.open({ serverId: `next to ${serverId}`, process: "p", lanes: 1 }),
    "lanes.renew": () => store.lanes.renew(serverId),
    "lanes.end": () => store.lanes.end(`next to ${serverId}`),
    "lanes.list": () => store.lanes.list(0),
    "batches.commit": () =>
      store.batches.commit({ laneId, batchNo: 1, items: [{ type: "delivery", delivery: event }] }),
    "batches.list": () => store.batches.list({ tenantId, laneId, afterBatchNo: 0, limit: 1 }),
    "batches.resolve": () => store.batches.resolve(laneId, 1),
    "runs.load": () => store.runs.load([key]),
    "runs.loadHeads": () => store.runs.loadHeads([key]),
    "runs.list": () => store.runs.list({ tenantId, filter: {}, order: "create_time_asc", limit: 1 }),
    "runs.delete": () => store.runs.delete(key),
    "runs.wasDeleted": () => store.runs.wasDeleted(key),
    "runs.claim": () => store.runs.claim(laneId, 1),
    "runs.claimDue": () => store.runs.claimDue(1, 1_000),
    "standings.read": () => store.standings.read(key),
    "ledger.list": () => store.ledger.list(key, 0, 1),
    "waits.get": () => store.waits.get(tenantId, "wait-1"),
    "waits.list": () => store.waits.list({ tenantId, filter: { reasons: ["user"] }, limit: 1 }),
    "events.readChannels": () => store.events.readChannels([channel]),
    "events.lookUp": () => store.events.lookUp([{ channel, names: ["n"], startNumber: 0, cursors: [] }]),
    "events.list": () => store.events.list(channel, 0, 1),
    "events.wasEmitted": () => store.events.wasEmitted(channel, "event-1"),
    "events.listListeners": () => store.events.listListeners({ channel, events: [{ name: "n", key: "" }], limit: 1 }),
    "events.markWoken": () => store.events.markWoken([{ channel, number: 1 }]),
    "events.readWoken": () => store.events.readWoken([channel]),
    "jobs.claim": () =>
      store.jobs.claim(serverId, [{ tenantId, kind: "tool", name: "pay", workerSessionIds: ["session-1"] }]),
    "jobs.release": () => store.jobs.release([{ ...jobKey, leaseNo: 1, isLoss: true }], 1),
    "jobs.start": () => store.jobs.start([{ ...jobKey, leaseNo: 1 }]),
    "jobs.adopt": () => store.jobs.adopt({ ...worker, limit: 1 }),
    "jobs.listOrphanedLeases": () => store.jobs.listOrphanedLeases(1),
    "jobs.claimDue": () => store.jobs.claimDue(1, 1_000),
    "jobs.load": () => store.jobs.load([jobKey]),
    "jobs.noteRefusedResult": () => store.jobs.noteRefusedResult(jobKey, { reason: "LATE", output: "" }),
    "workers.save": () =>
      store.workers.save({ ...worker, name: "w", tools: [], workflows: [], customTypes: [], draining: false }),
    "workers.remove": () => store.workers.remove(worker),
    "workers.list": () => store.workers.list({ tenantId, limit: 1 }),
    "workers.listElsewhere": () => store.workers.listElsewhere(serverId, 1),
    "mail.list": () => store.mail.list([key]),
    "mail.findStrays": () => store.mail.findStrays(0, 1),
    "workflows.register": () => store.workflows.register({ tenantId, digest: digestOf("flow"), definition }),
    "workflows.get": () => store.workflows.get(tenantId, "flow", 0),
    "workflows.list": () => store.workflows.list({ tenantId, includeArchived: true, limit: 1 }),
    "workflows.setCurrentVersion": () => store.workflows.setCurrentVersion(tenantId, "flow", 0),
    "workflows.setArchived": () => store.workflows.setArchived(tenantId, "flow", true),
    "feed.read": () => store.feed.read(tenantId, [{ laneId, batchNo: 0, ordinal: 0 }], 1),
    "notices.send": () => store.notices.send("hello"),
    "notices.listen": async () => await (await store.notices.listen(() => undefined))(),
  };
}

export function describeVerbs(openBench: OpenBench): void {
  describe("verbs", () => {
    const bench = openBench("test");

    it("are reported to the opener of the store, each once, with name and duration", async () => {
      const reported: VerbCall[] = [];
      const store = await bench.openStore({ onVerb: (call) => reported.push(call) });
      const { serverId, laneId } = await openWriter(store);
      const calls = callsOf(store, { tenantId: bench.tenant(), serverId, laneId });
      expect(Object.keys(calls).toSorted()).toEqual(verbsOf(store).toSorted());
      for (const [verb, call] of Object.entries(calls)) {
        reported.length = 0;
        const beganAt = performance.now();
        await call();
        const tookMs = performance.now() - beganAt;
        expect(reported).toEqual([{ verb, durationMs: expect.any(Number) as number, outcome: "ok" }]);
        expect(reported[0]!.durationMs).toBeGreaterThan(0);
        expect(reported[0]!.durationMs).toBeLessThanOrEqual(tookMs);
      }
      await store.close();
    });

    it("are reported as refused if the database refuses, and as failed if it does not answer", async () => {
      const reported: Omit<VerbCall, "durationMs">[] = [];
      const store = await bench.openStore({ onVerb: ({ verb, outcome }) => reported.push({ verb, outcome }) });
      const fenced = await openWriter(store);
      await bench.other.lanes.end(fenced.serverId);
      reported.length = 0;
      const event = eventOf({ tenantId: bench.tenant(), scope: "global", scopeId: "" }, { name: "n" });
      await expect(fenced.deliver(eventDelivery(event))).rejects.toThrow(LaneFencedError);
      await store.close();
      await expect(store.probe()).rejects.toThrow(StoreUnavailableError);
      await expect(store.mail.findStrays(0, 1)).rejects.toThrow(StoreUnavailableError);
      expect(reported).toEqual([
        { verb: "batches.commit", outcome: "refused" },
        { verb: "probe", outcome: "failed" },
        { verb: "mail.findStrays", outcome: "failed" },
      ]);
    });
  });
}
