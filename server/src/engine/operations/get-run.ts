import type { Caller, RunView } from "../api.ts";
import type { Reads } from "../reads.ts";
import { runUnknown } from "../refusals.ts";
import type { RunViewer } from "../run-view.ts";

/** @throws {DomainError} RUN_UNKNOWN */
export async function getRun(
  { reads, viewOf }: { reads: Pick<Reads, "viewRun" | "loadRunHead">; viewOf: RunViewer },
  { tenantId }: Caller,
  runId: string,
  view: RunView["view"],
): Promise<RunView> {
  const key = { tenantId, runId };
  const run = await (view === "basic" ? reads.loadRunHead(key) : reads.viewRun(key));
  if (run === undefined) throw runUnknown(runId);
  return viewOf(run, view);
}
