/** What the code of a handler node receives. */
import type { FailureJson } from "./failure-json.ts";
import type { JsonObject } from "./json.ts";
import type { StepPlanJson } from "./step-plan.ts";
import type { JobContext } from "./tool.ts";

/** What a handler knows about its job. */
export type HandlerContext = JobContext;

/** The same names that expressions of the graph see. */
export type HandlerInput<Vars = JsonObject> = {
  /** The run's vars, in a copy for this job. Large members are parsed when they are first read. */
  readonly vars: Vars;
  readonly run: {
    readonly run_id: string;
    readonly workflow_id: string;
    readonly version: number;
    readonly session_id: string | null;
    readonly actor_id: string | null;
    readonly parent_run_id: string | null;
    readonly root_run_id: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly create_time: string;
    readonly steps: number;
  };
  /** The last failure: the one that led to an `onError` node. */
  readonly error: FailureJson | null;
  /** The time of the step, RFC 3339. */
  readonly now: string;
};

/** The code of a handler node. It computes a plan, and it must be safe to run again: side effects belong in effects. An
 *  error that it throws fails the attempt; the node's policy decides whether there is another one. */
export type HandlerFunction = (input: HandlerInput, context: HandlerContext) => StepPlanJson | Promise<StepPlanJson>;
