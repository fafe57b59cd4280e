/** Tool calls, delivered at least once: the intent is committed before the worker sees it, the result before the next
 *  call. */
import { manyRuns } from "./many-runs.ts";

export const tools200 = manyRuns({
  name: "tools-200",
  runs: 200,
  workflow: "tools",
  needsWorker: true,
  budget: ">= 2.5 x baseline",
  isMet: ({ ratio }) => (ratio ?? 0) >= 2.5,
});
