/** Handler steps: runs of ten handlers, which run in a worker over gRPC. */
import type { Scenario } from "../scenario.ts";
import { manyRuns } from "./many-runs.ts";

/** With a disk that commits faster, batching gains less: above this baseline the budget is a number of steps. */
const BASELINE_PER_SECOND_MAX = 1_400;

/** @param ratio the ratio to the baseline @param perSecond used instead if the baseline is high */
function stepsBudget(ratio: number, perSecond: number): Pick<Scenario, "budget" | "isMet"> {
  return {
    budget: `>= ${ratio} x baseline, or ${perSecond}/s where it is above ${BASELINE_PER_SECOND_MAX}`,
    isMet: (row, baseline = 0) =>
      (row.ratio ?? 0) >= ratio || (baseline > BASELINE_PER_SECOND_MAX && (row.perSecond ?? 0) >= perSecond),
  };
}

const handlers = { workflow: "handlers", needsWorker: true } as const;

export const handler50 = manyRuns({ name: "handler-50", runs: 50, ...handlers, ...stepsBudget(3.5, 5_000) });
export const handler200 = manyRuns({ name: "handler-200", runs: 200, ...handlers, ...stepsBudget(7, 10_000) });
export const handler200Ahead = manyRuns({
  name: "handler-200-ahead",
  runs: 200,
  workflow: "handlersAhead",
  needsWorker: true,
  budget: ">= 12 x baseline",
  isMet: ({ ratio }) => (ratio ?? 0) >= 12,
});
