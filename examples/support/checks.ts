/** What had to hold, and whether it does. */
import { oneLine, type Screen } from "./screen.ts";

/** One thing that had to hold. */
export type Check = { name: string; problems: readonly string[] };

/** Nobody reads the same complaint about 300 runs. */
const PROBLEMS_SHOWN_MAX = 5;

/** Says of each check whether it holds. Returns whether all do. */
export function showChecks(screen: Screen, checks: readonly Check[]): boolean {
  screen.title("Checks");
  for (const { name, problems } of checks) {
    const holds = problems.length === 0;
    screen.line(`${holds ? screen.style("green", "ok    ") : screen.style("red", "FAILED")}   ${name}`);
    for (const problem of problems.slice(0, PROBLEMS_SHOWN_MAX)) screen.line(`         ${oneLine(problem)}`);
    const more = problems.length - PROBLEMS_SHOWN_MAX;
    if (more > 0) screen.line(`         and ${more} more`);
  }
  return checks.every(({ problems }) => problems.length === 0);
}
