import type { RunState } from "../core/run.ts";
import type { StoredRun } from "../store/contract/runs.ts";
import type { BlockedReason, RunView } from "./api.ts";

/** Builds what a caller sees of a run; if `view` is missing, it is "full". */
export type RunViewer = (run: StoredRun, view?: RunView["view"]) => RunView;

/** @param blockedReasonOf why a run does not go on, as far as this server knows */
export function createRunViewer(blockedReasonOf: (run: RunState) => BlockedReason | undefined): RunViewer {
  return (run, view = "full") => {
    const { damage } = run;
    const blockedReason = damage === undefined ? blockedReasonOf(run.state) : undefined;
    const { output: _output, ...rest } = run.state;
    return {
      state: view === "full" && damage === undefined ? run.state : { ...rest, vars: null },
      view: damage === undefined ? view : "basic",
      ...(damage === undefined ? {} : { damage: damage.message }),
      ...(blockedReason === undefined ? {} : { blockedReason }),
    };
  };
}
