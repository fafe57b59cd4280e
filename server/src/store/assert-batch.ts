/** What every store requires of a batch. A batch that violates it is a bug of the caller. */
import assert from "node:assert/strict";
import { type Batch, GROUP_TRANSITIONS_MAX } from "./contract/batch.ts";

export function assertBatch({ items }: Batch): void {
  const runs = new Set<string>();
  for (const item of items) {
    if (item.type !== "group") continue;
    const { length } = item.transitions;
    assert(length >= 1 && length <= GROUP_TRANSITIONS_MAX, `a group has 1 to ${GROUP_TRANSITIONS_MAX} transitions`);
    for (const { tenantId, runId } of item.transitions) {
      const key = `${tenantId}/${runId}`;
      assert(!runs.has(key), "each run appears at most once in a batch");
      runs.add(key);
    }
  }
}
