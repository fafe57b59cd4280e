/** The demo's final output: a table of its calls, and one line of JSON. */
import { type Screen, tableLines } from "../support/screen.ts";
import { secondsBetween } from "../support/timeline.ts";
import { type Call, callsInFlight } from "./calls.ts";
import type { Kill } from "./crashes.ts";
import type { Scenario } from "./scenario.ts";

/** The last line of `--json`. */
export type Summary = {
  runId: string;
  serverKills: number;
  workerKills: number;
  /** Step records in the run's ledger. */
  records: number;
  /** `ok`, or the first problem of the ledger. */
  chain: string;
};

export function summarise({ runId, kills, records, chainProblems }: Scenario): Summary {
  const count = (victim: Kill["victim"]) => kills.filter((kill) => kill.victim === victim).length;
  return {
    runId,
    serverKills: count("server"),
    workerKills: count("worker"),
    records,
    chain: chainProblems[0] ?? "ok",
  };
}

/** A row for each tool, in the order of their first calls. */
export function showTools(screen: Screen, { steps, kills }: Scenario): void {
  screen.title("Calls");
  const rows = new Map<string, { calls: Call[]; hit: Set<Call>; longestMs: number }>();
  for (const step of steps) {
    const hit = new Set(
      kills.flatMap(({ time }) => (endedBefore(step.endTime, time) ? [] : callsInFlight(step, time))),
    );
    for (const call of step.calls) {
      const row = rows.get(call.tool) ?? { calls: [], hit: new Set(), longestMs: 0 };
      row.calls.push(call);
      if (hit.has(call)) row.hit.add(call);
      row.longestMs = Math.max(row.longestMs, (call.ends[0]?.time.getTime() ?? 0) - step.time.getTime());
      rows.set(call.tool, row);
    }
  }
  const failed = (calls: readonly Call[]) => calls.filter(({ ends }) => ends[0]?.error !== undefined).length;
  const cells = [...rows].map(([tool, { calls, hit, longestMs }]) => [
    tool,
    String(calls.length),
    String(failed(calls)),
    String(hit.size),
    secondsBetween(new Date(0), new Date(longestMs)).trim(),
  ]);
  const headers = ["tool", "calls>", "failed>", "in flight at a kill>", "longest>"];
  for (const [index, line] of tableLines(headers, cells).entries()) {
    screen.line(index === 0 ? screen.style("dim", line) : line);
  }
}

function endedBefore(endTime: Date | undefined, time: Date): boolean {
  return endTime !== undefined && endTime <= time;
}
