/** Waits. */
import { openWaitOf } from "../../core/run.ts";
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { StoredWait, WaitFilter } from "../contract/waits.ts";
import { ALL, HOUR_MS, type OpenBench, keyOf, load, readPages } from "./bench.ts";
import { answerOf, closingOf, conflictOf, startOf, stepOf, timeAt, waitOf, type WaitFacts } from "./fixtures.ts";

export function describeWaits(openBench: OpenBench): void {
  describe("waits", () => {
    const bench = openBench("group");

    const question: WaitFacts = {
      asks: "question",
      prompt: "Approve ü?",
      details: { amount: 1.5, deep: [{ a: null }] },
      choices: ["yes", "no", 3],
      allow_free_text: true,
      answer_schema: { type: "string" },
      assignees: ["finance", "bob"],
      default_answer: null,
    };

    it("opens a wait with its run, and returns it by id", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const labels = { team: "red" };
      const first = await writer.put(
        startOf({ tenantId, runId: "run-1", workflowId: "expense", sessionId: "s1", labels }),
      );
      const waiting = await writer.put(waitOf(first, { ...question, due_time: timeAt(HOUR_MS) }));
      const wait = openWaitOf(waiting.state);
      assert(wait !== undefined);
      const expected = { tenantId, runId: "run-1", wait, workflowId: "expense", sessionId: "s1", labels };
      const found = await store.waits.get(tenantId, wait.wait_id);
      expect(found).toEqual(expected);
      expect(found).not.toHaveProperty("closing");
      expect(await other.waits.get(tenantId, wait.wait_id)).toEqual(expected);
      expect(await store.waits.get(bench.tenant(), wait.wait_id)).toBeUndefined();
      expect(await store.waits.get(tenantId, "missing")).toBeUndefined();
      const { items } = await store.waits.list({ tenantId, filter: { reasons: ["user"] }, limit: 10 });
      expect(items).toEqual([expected]);
      expect(await load(store, keyOf(first))).toEqual(waiting);
    });

    it("keeps how a wait was closed, for an answer that is sent again", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const waiting = await writer.put(
        waitOf(await writer.put(startOf({ tenantId, runId: "run-1" })), { asks: "question" }),
      );
      const closing = { ...closingOf(waiting), requestId: "request-1", actorId: "ann" };
      await writer.put(answerOf(waiting, { closeWaits: [closing] }));
      const found = await store.waits.get(tenantId, closing.waitId);
      expect(found?.closing).toEqual(closing);
      expect(found?.wait).toEqual(openWaitOf(waiting.state));
      const { items } = await store.waits.list({ tenantId, filter: { reasons: ["user"] }, limit: 10 });
      expect(items).toEqual([]);
    });

    it("closes by other causes without an actor, and opens the next wait in the same transition", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const first = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const one = await writer.put(waitOf(first, { asks: "time", due_time: timeAt(5) }));
      const two = await writer.put(
        waitOf(one, { asks: "question" }, { closeWaits: [{ ...closingOf(one), by: "time" }] }),
      );
      await writer.put(stepOf(two, "run.cancelled", {}, { closeWaits: [{ ...closingOf(two), by: "cancel" }] }));
      const closed = await store.waits.get(tenantId, closingOf(one).waitId);
      expect(closed?.closing).toEqual({ ...closingOf(one), by: "time" });
      expect((await store.waits.get(tenantId, closingOf(two).waitId))?.closing?.by).toBe("cancel");
      const filter: WaitFilter = { reasons: ["user", "until"] };
      expect(await store.waits.list({ tenantId, filter, limit: 10 })).toEqual({ items: [] });
    });

    it("leaves a wait open if its closing lost the race", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const waiting = await writer.put(
        waitOf(await writer.put(startOf({ tenantId, runId: "run-1" })), { asks: "question" }),
      );
      const paused = await writer.put(stepOf(waiting, "run.paused", { paused: true }));
      expect(await writer.commit(answerOf(waiting))).toEqual([conflictOf("seq")]);
      expect(await store.waits.get(tenantId, closingOf(waiting).waitId)).not.toHaveProperty("closing");
      expect((await load(store, keyOf(waiting))).state).toEqual(paused.state);
    });

    it("filters open waits and pages over them, oldest first", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const open = async (runId: string, at: number, run: object, wait: Partial<WaitFacts> = {}) =>
        await writer.put(
          waitOf(
            await writer.put(startOf({ tenantId, runId, ...run })),
            { asks: "question", ...wait },
            {
              time: timeAt(at),
            },
          ),
        );
      await open("third", 30, { workflowId: "flow-b", labels: { team: "red" } }, { assignees: ["ann"] });
      await open("first", 10, { workflowId: "flow-b", sessionId: "s1" }, { assignees: ["bob", "ann"] });
      await open("second", 20, { labels: { team: "red", size: "s" } });
      await open("tied-a", 40, {});
      await open("tied-b", 40, {});
      await open("tied-c", 40, {});
      await open("sleeping", 5, {}, { asks: "time" });
      const answered = await open("answered", 15, {});
      await writer.put(answerOf(answered));
      const tenant2 = bench.tenant();
      await writer.put(waitOf(await writer.put(startOf({ tenantId: tenant2, runId: "first" })), { asks: "question" }));

      const list = async (filter: Partial<WaitFilter>): Promise<string[]> => {
        const page = await store.waits.list({ tenantId, filter: { reasons: ["user"], ...filter }, limit: ALL });
        expect(page.next).toBeUndefined();
        return page.items.map((item) => item.runId);
      };
      const all = await list({});
      expect(all.slice(0, 3)).toEqual(["first", "second", "third"]);
      expect(all.slice(3).toSorted()).toEqual(["tied-a", "tied-b", "tied-c"]);
      expect(await list({ reasons: ["until"] })).toEqual(["sleeping"]);
      expect(await list({ reasons: ["until", "user"] })).toEqual(["sleeping", ...all]);
      expect(await list({ reasons: ["event"] })).toEqual([]);
      expect(await list({ workflowId: "flow-b" })).toEqual(["first", "third"]);
      expect(await list({ sessionId: "s1" })).toEqual(["first"]);
      expect(await list({ runId: "second" })).toEqual(["second"]);
      expect(await list({ assignee: "ann" })).toEqual(["first", "third"]);
      expect(await list({ assignee: "bob" })).toEqual(["first"]);
      expect(await list({ assignee: "nobody" })).toEqual([]);
      expect(await list({ labels: { team: "red" } })).toEqual(["second", "third"]);
      expect(await list({ labels: { team: "red", size: "s" } })).toEqual(["second"]);
      for (const limit of [1, 2, 4]) {
        const paged = await readPages<StoredWait>(limit, (start) =>
          store.waits.list({
            tenantId,
            filter: { reasons: ["user"] },
            limit,
            ...(start === undefined ? {} : { start }),
          }),
        );
        expect(paged.map((item) => item.runId)).toEqual(all);
      }
    });
  });
}
