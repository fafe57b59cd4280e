/** Vars whose large members are kept in parts of their own. */
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../core/json/json.ts";
import type { PatchOp } from "../../core/json/pointer.ts";
import type { StoredRun } from "../contract/runs.ts";
import { ALL, COMMITTED, type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, conflictOf, endOf, joinOf, startOf, stepOf } from "./fixtures.ts";

export function describeVars(openBench: OpenBench): void {
  describe("vars with large members", () => {
    const bench = openBench("group");
    const LARGE = "large ü😀 ".repeat(500);

    /** A run with large members among small ones. */
    async function startLarge(vars: JsonObject = {}): Promise<StoredRun> {
      const large: JsonObject = { "9": LARGE, first: 1, list: [LARGE, { deep: LARGE }], middle: null, text: LARGE };
      return await bench.writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { ...large, ...vars } }));
    }

    /** Compares both values and text, which shows the order of the members. */
    async function expectStored(run: StoredRun): Promise<void> {
      const loaded = await load(bench.other, keyOf(run));
      expect(loaded).toEqual(run);
      expect(JSON.stringify(loaded.state.vars)).toBe(JSON.stringify(run.state.vars));
    }

    /** Changes the vars of the run in one transition, by JSON Pointer operations. */
    async function change(run: StoredRun, ...patch: PatchOp[]): Promise<StoredRun> {
      const after = await bench.writer.put(stepOf(run, "step.completed", { status: "completed", patch }));
      await expectStored(after);
      return after;
    }

    it("are returned unchanged, with all members in order", async () => {
      const run = await startLarge({ last: [1], 'a "name"\n\\': { text: LARGE }, ["n".repeat(3_000)]: LARGE });
      await expectStored(run);
      expect((await bench.store.runs.loadHeads([keyOf(run)]))[0]?.state.vars).toBeNull();
      const [listed] = (
        await bench.store.runs.list({
          tenantId: run.state.tenantId,
          filter: {},
          order: "create_time_asc",
          limit: ALL,
        })
      ).items;
      expect(listed?.state.vars).toBeNull();
      expect(listed?.format).toBe(run.format);
    });

    it("change in their small members", async () => {
      let run = await startLarge();
      run = await change(run, { op: "set", path: "/first", value: 2 });
      run = await change(run, { op: "set", path: "/new", value: [1] }, { op: "unset", path: "/middle" });
      run = await change(run, { op: "append", path: "/new", values: [2] });
      expect(run.state.vars).toMatchObject({ first: 2, new: [1, 2], text: LARGE });
    });

    it("change in one member alone, and gain and lose others", async () => {
      let run = await startLarge();
      run = await change(run, { op: "append", path: "/list", values: [LARGE] });
      run = await change(run, { op: "set", path: "/text", value: `${LARGE}!` });
      run = await change(run, { op: "set", path: "/more", value: { of: LARGE } });
      run = await change(run, { op: "unset", path: "/text" });
      run = await change(run, { op: "set", path: "/text", value: [LARGE] });
      run = await change(run, { op: "unset", path: "/list" }, { op: "unset", path: "/9" });
      expect(run.state.vars).toEqual({ first: 1, middle: null, more: { of: LARGE }, text: [LARGE] });
    });

    it("change in the same member several times in one transition", async () => {
      const run = await startLarge();
      const first = assignOf(run, "text", [LARGE]);
      const second = stepOf(first.after, "step.completed", {
        status: "completed",
        patch: [{ op: "append", path: "/text", values: ["end"] }],
      });
      const joined = await bench.writer.put(joinOf(first, second, run));
      await expectStored(joined);
      expect(joined.state.vars).toMatchObject({ text: [LARGE, "end"] });
      const away = assignOf(joined, "text", "");
      const back = assignOf(away.after, "text", LARGE);
      await expectStored(await bench.writer.put(joinOf(away, back, joined)));
      const begun = startOf({ tenantId: bench.tenant(), runId: "run-1", vars: { text: LARGE, list: [LARGE] } });
      const on = assignOf(begun.after, "text", `${LARGE}!`);
      await expectStored(await bench.writer.put(joinOf(begun, on)));
    });

    it("take members back when they shrink, and let them grow again", async () => {
      let run = await startLarge();
      run = await change(run, { op: "set", path: "/list", value: [] });
      run = await change(run, { op: "set", path: "/list", value: [LARGE] });
      // The last large member is dropped alone: apart from the vars nothing else is written.
      run = await change(run, { op: "unset", path: "/list" }, { op: "unset", path: "/9" });
      run = await change(run, { op: "set", path: "/text", value: "small" });
      run = await change(run, { op: "set", path: "/text", value: LARGE });
      expect(run.state.vars).toEqual({ first: 1, middle: null, text: LARGE });
    });

    it("are replaced by vars that are not an object, and replace them again", async () => {
      let run = await startLarge();
      run = await change(run, { op: "set", path: "", value: [LARGE, LARGE] });
      run = await change(run, { op: "set", path: "", value: { text: LARGE, other: LARGE } });
      run = await change(run, { op: "set", path: "", value: null });
      run = await change(run, { op: "set", path: "", value: { list: [LARGE] } });
      run = await change(run, { op: "set", path: "", value: LARGE });
      expect(run.state.vars).toBe(LARGE);
    });

    it("are unchanged by a transition that is refused, and change for its neighbours", async () => {
      const { store, writer } = bench;
      const stale = await startLarge();
      const neighbour = await startLarge();
      const moved = await change(stale, { op: "set", path: "/text", value: `${LARGE} moved` });
      expect(await writer.commit(assignOf(stale, "text", "small"), assignOf(neighbour, "list", 0))).toEqual([
        conflictOf("seq"),
        COMMITTED,
      ]);
      expect(await writer.commit(assignOf(stale, "new", LARGE))).toEqual([conflictOf("seq")]);
      await expectStored(moved);
      expect((await load(store, keyOf(neighbour))).state.vars).toEqual({
        ...(neighbour.state.vars as object),
        list: 0,
      });
      const again = startOf({ ...keyOf(stale), vars: { text: "x".repeat(5_000), other: LARGE } });
      expect(await writer.commit(again)).toEqual([conflictOf("run_exists")]);
      await expectStored(moved);
    });

    it("load with and without large members, for many runs at once", async () => {
      const { store } = bench;
      const small = await bench.writer.put(startOf({ tenantId: bench.tenant(), runId: "small", vars: { text: 1 } }));
      const runs = [await startLarge(), small, await startLarge({ text: `${LARGE}2` })];
      expect(await store.runs.load(runs.map(keyOf))).toEqual(runs);
    });

    it("are deleted with their run", async () => {
      const { store, writer } = bench;
      const kept = await startLarge();
      const gone = await startLarge();
      const ended = await writer.put(endOf(gone, LARGE));
      await expectStored(ended);
      expect(await store.runs.delete(keyOf(gone))).toBe(true);
      expect(await store.runs.load([keyOf(gone), keyOf(kept)])).toEqual([undefined, kept]);
    });
  });
}
