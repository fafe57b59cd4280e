/** The changes of records about the run's current step. */
import type { StepSequel } from "../call.ts";
import type { InFlight, RunState } from "../run.ts";
import type { Change } from "./change.ts";
import { afterStep, patchedVars, stepResult } from "./step-end.ts";

type StepKind = "step.started" | "step.waiting" | "step.completed" | "step.failed";

export const STEP_RECORDS: { [K in StepKind]: Change<K> } = {
  "step.started": (run, { body }, given) => ({
    ...resting(run, { at: "calls", calls: body.calls, ...sequelIn(body) }),
    status: "running",
    vars: patchedVars(run, body, given),
  }),
  "step.waiting": (run, { body }, given) => ({
    ...resting(run, { at: "wait", wait: body.wait, ...sequelIn(body) }),
    status: "waiting",
    vars: patchedVars(run, body, given),
  }),
  "step.completed": (run, { body }, given) => ({
    ...afterStep(run, body, given, stepResult(run, body, given)),
    node: body.to ?? run.node,
  }),
  "step.failed": (run, { body }, given) => ({
    ...afterStep(run, body, given, stepResult(run, body, given)),
    node: body.to,
    ...(body.handled_by === "workflow" ? { handlingError: true as const } : {}),
  }),
};

function sequelIn({ sequel }: { sequel?: StepSequel }): { sequel?: StepSequel } {
  return sequel === undefined ? {} : { sequel };
}

/** When a run rests, the workflow's `on_error` may be entered again. */
function resting(run: RunState, inFlight: InFlight): RunState {
  const { handlingError: _handlingError, ...rest } = run;
  return { ...rest, inFlight };
}
