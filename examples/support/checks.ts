/** The checks at the end of a demo. */
import { oneLine, type Screen } from "./screen.ts";

/** One check. */
export type Check = { name: string; problems: readonly string[] };

/** Enough to understand a problem that may occur in 300 runs. */
const PROBLEMS_SHOWN_MAX = 5;

/** Prints each check and whether it holds. Returns whether all hold. */
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
