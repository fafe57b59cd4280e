/** Runs whose rows are behind their ledgers. */
import { describe, expect, it } from "vitest";
import { addMs } from "../../core/duration.ts";
import type { JsonObject } from "../../core/json/json.ts";
import type { PatchOp } from "../../core/json/pointer.ts";
import type { Transition } from "../contract/batch.ts";
import { LaneFencedError } from "../contract/errors.ts";
import type { PageStart } from "../contract/page.ts";
import type { StoredRun } from "../contract/runs.ts";
import { ALL, COMMITTED, type OpenBench, keyOf, load } from "./bench.ts";
import { answerOf, conflictOf, endOf, openWriter, startOf, stepOf, TIME_ZERO, waitOf } from "./fixtures.ts";

export function describeRowBehind(openBench: OpenBench): void {
  describe("runs whose rows are behind", () => {
    const bench = openBench("group");
    const LARGE = "large ü😀 ".repeat(500);

    async function startOwned(vars: JsonObject = { n: 0, text: LARGE }): Promise<StoredRun> {
      const { writer } = bench;
      return await writer.put(
        startOf({ tenantId: bench.tenant(), runId: "run-1", vars }, { ownerLane: writer.laneId }),
      );
    }

    /** A step that leaves the row unchanged. */
    function left(run: StoredRun, ...patch: PatchOp[]): Transition {
      const body = { status: "completed" as const, patch, to: `node-${run.state.seq}` };
      return stepOf(run, "step.completed", body, { ownerLane: bench.writer.laneId, isLeft: true });
    }

    async function listed(run: StoredRun): Promise<StoredRun[]> {
      const { tenantId } = run.state;
      return (await bench.store.runs.list({ tenantId, filter: {}, order: "update_time_desc", limit: ALL })).items;
    }

    it("are read in full as their ledgers say, without payloads, and in lists", async () => {
      const { writer, other } = bench;
      const start = await startOwned();
      let run = start;
      for (let n = 1; n <= 5; n++) run = await writer.put(left(run, { op: "set", path: "/n", value: n }));
      expect(run.behind?.seq).toBe(1);
      const loaded = await load(other, keyOf(run));
      expect(loaded).toEqual(run);
      expect(loaded.state).toMatchObject({ seq: 6, steps: 5, node: "node-5", vars: { n: 5, text: LARGE } });
      const [head] = await other.runs.loadHeads([keyOf(run)]);
      expect(head).toMatchObject({ headHash: run.headHash, state: { ...run.state, vars: null } });
      expect(await listed(run)).toEqual([head]);
    });

    it("are written whole by the next transition that writes the row", async () => {
      const { writer, store } = bench;
      const start = await startOwned();
      const first = await writer.put(left(start, { op: "set", path: "/text", value: `${LARGE}!` }));
      const second = await writer.put(
        left(first, { op: "set", path: "/more", value: [LARGE] }, { op: "unset", path: "/n" }),
      );
      const waiting = await writer.put(waitOf(second, { asks: "question" }));
      expect(waiting.behind).toBeUndefined();
      expect(await load(store, keyOf(waiting))).toEqual(waiting);
      expect(waiting.state.vars).toEqual({ text: `${LARGE}!`, more: [LARGE] });
      // The row alone has all of it.
      const active = await writer.put(answerOf(waiting, { ownerLane: writer.laneId }));
      const ended = await writer.put(endOf(await writer.put(left(active, { op: "set", path: "/n", value: 1 })), 1));
      expect(await load(store, keyOf(ended))).toEqual(ended);
      expect((await store.ledger.list(keyOf(ended), 0, ALL)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    });

    it("return to what the row says, and are written if anything differs", async () => {
      const { writer, store } = bench;
      const start = await startOwned({ n: 0, text: LARGE });
      const away = await writer.put(left(start, { op: "set", path: "/text", value: "small" }));
      const back = await writer.put(left(away, { op: "set", path: "/text", value: LARGE }));
      const waiting = await writer.put(waitOf(back, { asks: "question" }));
      expect(await load(store, keyOf(waiting))).toEqual(waiting);
    });

    it("keep their records if their neighbours in a batch are refused, and may be refused themselves", async () => {
      const { writer, other } = bench;
      const [run, stale] = [await startOwned(), await startOwned()];
      const ahead = left(stale).after;
      expect(await writer.commit(left(ahead), left(run))).toEqual([conflictOf("seq"), COMMITTED]);
      expect(await bench.store.ledger.list(keyOf(stale), 0, ALL)).toHaveLength(1);
      expect(await load(other, keyOf(stale))).toEqual(stale);
      expect((await load(other, keyOf(run))).state.seq).toBe(2);
    });

    it("take one step at each place of the ledger, and refuse the second", async () => {
      const { writer, other } = bench;
      const start = await startOwned();
      const [run, neighbour] = [await writer.put(left(start, { op: "set", path: "/n", value: 1 })), await startOwned()];
      const second = left(start, { op: "set", path: "/n", value: 2 });
      expect(await writer.commit(second)).toEqual([conflictOf("record")]);
      expect(await writer.commit(waitOf(start, { asks: "question" }))).toEqual([conflictOf("record")]);
      const beside = left(neighbour);
      expect(await writer.commit(second, beside)).toEqual([conflictOf("record"), COMMITTED]);
      expect(await load(other, keyOf(run))).toEqual(run);
      expect(await load(other, keyOf(neighbour))).toEqual(beside.after);
    });

    it("take no step ahead of the ledger", async () => {
      const { writer, other } = bench;
      const start = await startOwned();
      const ahead = left(start).after;
      expect(await writer.commit(left(ahead))).toEqual([conflictOf("seq")]);
      expect(await writer.commit(waitOf(ahead, { asks: "question" }))).toEqual([conflictOf("seq")]);
      expect(await load(other, keyOf(start))).toEqual(start);
    });

    it("are unchanged by a step that is refused for another reason", async () => {
      const { writer, other } = bench;
      const start = await startOwned();
      expect(await writer.commit({ ...left(start), consumedMail: [4_711] })).toEqual([conflictOf("mail")]);
      expect(await load(other, keyOf(start))).toEqual(start);
    });

    it("continue under the lane that claims them", async () => {
      const { writer, store, other } = bench;
      const leaving = await openWriter(store);
      const start = await leaving.put(
        startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { n: 0 } }, { ownerLane: leaving.laneId }),
      );
      const body = { status: "completed" as const, patch: [{ op: "set" as const, path: "/n", value: 1 }] };
      const facts = { ownerLane: leaving.laneId, isLeft: true };
      const run = await leaving.put(stepOf(start, "step.completed", body, facts));
      await store.lanes.end(leaving.serverId);
      await expect(leaving.commit(stepOf(run, "step.completed", body, facts))).rejects.toThrow(LaneFencedError);
      // The runs of the other tests are orphans too, and are claimed as well.
      while ((await load(other, keyOf(run))).ownerLane !== writer.laneId) await other.runs.claim(writer.laneId, ALL);
      const found = await load(other, keyOf(run));
      expect(found).toEqual({ ...run, ownerLane: writer.laneId });
      const next = await writer.put(left(found, { op: "set", path: "/n", value: 2 }));
      expect(next.behind?.seq).toBe(1);
      expect((await load(store, keyOf(run))).state.vars).toEqual({ n: 2 });
    });

    it("pages through lists by the times of the rows", async () => {
      const { writer, store } = bench;
      const tenantId = bench.tenant();
      const runs: StoredRun[] = [];
      for (let n = 0; n < 6; n++) {
        const time = addMs(TIME_ZERO, n);
        const facts = { ownerLane: writer.laneId };
        const start = await writer.put(startOf({ tenantId, runId: `run-${n}`, time }, facts));
        runs.push(n % 2 === 0 ? await writer.put(left(start)) : start);
      }
      const seen: string[] = [];
      let start: PageStart | undefined;
      do {
        const request = { tenantId, filter: {}, order: "update_time_desc" as const, limit: 1 };
        const page = await store.runs.list({ ...request, ...(start === undefined ? {} : { start }) });
        seen.push(...page.items.map(({ state }) => state.runId));
        start = page.next;
      } while (start !== undefined);
      expect(seen).toEqual(runs.map(({ state }) => state.runId).toReversed());
    });
  });
}
