/** Nodes without code: seven assign, one emits an event, one consumes it, one ends the run. */
import { manyRuns } from "./many-runs.ts";

export const declarative200 = manyRuns({
  name: "declarative-200",
  runs: 200,
  workflow: "declarative",
  needsWorker: false,
  budget: ">= 10 x baseline",
  isMet: ({ ratio }) => (ratio ?? 0) >= 10,
});
