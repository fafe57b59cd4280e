/** Calls in flight: if there are many, they are kept in parts of the run. A read returns the calls of the fold. */
import { describe, expect, it } from "vitest";
import { type Call, type CallChange, isOpen } from "../../core/call.ts";
import { idempotencyKey } from "../../core/identifiers.ts";
import type { Json } from "../../core/json/json.ts";
import { callsOf, type InFlight } from "../../core/run.ts";
import type { StoredRun } from "../contract/runs.ts";
import { type OpenBench, keyOf, load } from "./bench.ts";
import { assignOf, startOf, stepOf, timeAt } from "./fixtures.ts";

const ERROR = { code: "AWAY", message: "gone", retryable: true };

export function describeCalls(openBench: OpenBench): void {
  describe.each([1, 4, 5, 40])("%i calls in flight", (count) => {
    const bench = openBench("group");

    function callsAt({ state: { tenantId, runId, seq } }: StoredRun): Call[] {
      return Array.from({ length: count }, (_, ordinal): Call => {
        const key = idempotencyKey({ tenantId, runId, epoch: 0, nodeId: "first", seq: seq + 1, ordinal });
        return { ordinal, kind: "tool", name: "pay", call_id: `call_${ordinal}`, idempotency_key: key };
      });
    }

    async function begin(runId: string): Promise<StoredRun> {
      const run = await bench.writer.put(startOf({ tenantId: bench.tenant(), runId }));
      return await asked(run);
    }

    async function asked(run: StoredRun): Promise<StoredRun> {
      const body = { status: "started", effect: { type: "tool_calls", payload: {} }, calls: callsAt(run) } as const;
      return await bench.writer.put(stepOf(run, "step.started", body));
    }

    async function completed(run: StoredRun, ordinal: number, output: Json): Promise<StoredRun> {
      const body = { status: "started", call: { ordinal } } as const;
      return await bench.writer.put(stepOf(run, "call.completed", body, {}, JSON.stringify(output)));
    }

    async function ended(run: StoredRun, kind: "call.failed" | "call.retrying", call: CallChange): Promise<StoredRun> {
      return await bench.writer.put(stepOf(run, kind, { status: "started", call, error: ERROR }));
    }

    async function expectStored(run: StoredRun): Promise<void> {
      expect(await load(bench.store, keyOf(run))).toEqual(run);
      // A head shows which calls have settled, and when the others may continue.
      const [head] = await bench.store.runs.loadHeads([keyOf(run)]);
      const shown = callsOf(run.state).map((call) =>
        isOpen(call) ? call : { ...call, outcome: { output: null, seq: 0 } },
      );
      expect(callsOf(head!.state)).toEqual(shown);
      expect(head!.state.vars).toBeNull();
    }

    it("are read back after each change", async () => {
      let run = await begin("run-1");
      await expectStored(run);
      const last = count - 1;
      run = await ended(run, "call.retrying", { ordinal: last, next_attempt: 2, retry_time: timeAt(5_000) });
      await expectStored(run);
      run = await ended(run, "call.retrying", { ordinal: last, next_attempt: 3, retry_time: timeAt(9_000) });
      await expectStored(run);
      run = await bench.writer.put(stepOf(run, "run.paused", {}));
      await expectStored(run);
      run = await completed(run, last, { deep: ["é", null, 1.5] });
      expect(callsOf(run.state).at(-1)).toMatchObject({ attempt: 3, outcome: { output: { deep: ["é", null, 1.5] } } });
      expect(callsOf(run.state).at(-1)).not.toHaveProperty("retry_time");
      await expectStored(run);
      if (count === 1) return;
      run = await ended(run, "call.failed", { ordinal: 0 });
      await expectStored(run);
      run = await completed(run, 1, "two");
      await expectStored(run);
    });

    it("leave nothing to the calls of the next effect, or to a run without calls", async () => {
      let run = await begin("run-2");
      run = await completed(run, 0, "of the first effect");
      run = await bench.writer.put(stepOf(run, "step.completed", { status: "completed" }));
      await expectStored(run);
      run = await asked(run);
      await expectStored(run);
      expect(callsOf(run.state).every(isOpen)).toBe(true);
      run = await ended(run, "call.retrying", { ordinal: 0, next_attempt: 2, retry_time: timeAt(5_000) });
      // One transition from one effect to the next, as a run-ahead makes it.
      const inFlight: InFlight = { at: "calls", calls: callsAt(run) };
      run = await bench.writer.put(assignOf(run, "x", 1, { state: { inFlight } }));
      await expectStored(run);
      expect(callsOf(run.state)[0]).not.toHaveProperty("attempt");
      run = await bench.writer.put(stepOf(run, "run.cancelled", {}));
      await expectStored(run);
    });
  });
}
