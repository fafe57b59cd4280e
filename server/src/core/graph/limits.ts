/** Limits on what a run may use. */
import { parseDurationMs } from "../duration.ts";
import type { FieldProblem } from "../errors.ts";
import type { LimitsJson } from "./gen/types.ts";

/** As the graph has them: durations are text. */
export type Limits = LimitsJson;

/** Steps a run may take if no limit says otherwise. */
export const MAX_STEPS_DEFAULT = 100_000;

/** Limits that nothing enforces yet. They are refused, because a user who sets one would rely on it. */
const NOT_ENFORCED = ["maxTokens", "maxCostUsd", "maxDepth"] as const;

/** Reports limits that are invalid or not enforced yet, at paths below `path`. */
export function checkLimits(limits: Limits | undefined, path: string, problems: FieldProblem[]): void {
  if (limits === undefined) return;
  for (const field of NOT_ENFORCED) {
    if (limits[field] !== undefined) {
      problems.push({ path: `${path}.${field}`, message: "is not enforced by this release; remove it" });
    }
  }
  if (limits.runTimeout === undefined) return;
  try {
    parseDurationMs(limits.runTimeout);
  } catch (error) {
    problems.push({ path: `${path}.runTimeout`, message: (error as Error).message });
  }
}
