/** Parts of runs' states, whatever their kind. */
import { describe, expect, it } from "vitest";
import type { StoredRun } from "../contract/runs.ts";
import type { PartsWrite } from "../part.ts";
import { type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, conflictOf, endOf, startOf, stepOf } from "./fixtures.ts";

export function describeParts(openBench: OpenBench): void {
  describe("parts of runs", () => {
    const bench = openBench("group");

    /** A step that writes parts that follow from no record of this suite. */
    const writing = (before: StoredRun, parts: Partial<PartsWrite>) => ({
      ...stepOf(before, "step.completed", { status: "completed" }),
      parts: { set: [], drop: [], dropAll: [], ...parts },
    });
    const outcome = (ordinal: number, text: string) => ({ part: "outcome" as const, name: `${ordinal}`, text });

    it("are written one by one, dropped one by one or all at once, and leave the others alone", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const rows = async () => JSON.stringify(await bench.readRows(tenantId));
      let run = await writer.put(startOf({ tenantId, runId: "run-1", vars: { a: 1 } }));
      const neighbour = await writer.put(startOf({ tenantId, runId: "run-2", vars: { b: 2 } }));
      await writer.put(writing(neighbour, { set: [outcome(1, '"of the neighbour"')] }));
      const calls = { part: "calls" as const, name: "", text: '["calls in flight"]' };
      run = await writer.put(
        writing(run, { set: [calls, outcome(1, '"first outcome"'), outcome(2, '"second outcome"')] }),
      );
      for (const text of ["calls in flight", "first outcome", "second outcome"]) expect(await rows()).toContain(text);
      run = await writer.put(
        writing(run, { drop: [{ part: "outcome", name: "2" }], set: [outcome(3, '"third outcome"')] }),
      );
      expect(await rows()).toContain("first outcome");
      expect(await rows()).not.toContain("second outcome");
      // A drop comes before a set, as when one effect follows another.
      run = await writer.put(writing(run, { dropAll: ["calls", "outcome"], set: [outcome(1, '"of the next"')] }));
      for (const text of ["calls in flight", "first outcome", "third outcome"])
        expect(await rows()).not.toContain(text);
      for (const text of ["of the next", "of the neighbour"]) expect(await rows()).toContain(text);
      expect(await load(store, keyOf(run))).toEqual(run);
      expect((await load(store, keyOf(neighbour))).state.vars).toEqual({ b: 2 });
    });

    it("are neither written nor dropped by a transition that is refused", async () => {
      const { writer } = bench;
      const tenantId = bench.tenant();
      const start = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const stale = await writer.put(writing(start, { set: [outcome(1, '"first"')] }));
      await writer.put(assignOf(stale, "x", 1));
      const rows = await bench.readRows(tenantId);
      const refused = writing(stale, { dropAll: ["outcome"], set: [outcome(2, '"second"')] });
      expect(await writer.commit(refused)).toEqual([conflictOf("seq")]);
      expect(await bench.readRows(tenantId)).toEqual(rows);
    });

    it("are not read with heads, and are deleted with their run", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1", vars: { a: "in vars" } }));
      const ended = await writer.put(endOf(run, "the output"));
      expect(await load(store, keyOf(ended))).toEqual(ended);
      const [head] = await store.runs.loadHeads([keyOf(ended)]);
      expect(head?.state).toEqual({ ...ended.state, vars: null, output: undefined });
      expect(await store.runs.delete(keyOf(ended))).toBe(true);
      for (const text of ["in vars", "the output"]) {
        expect(JSON.stringify(await bench.readRows(tenantId))).not.toContain(text);
      }
    });
  });
}
