/** What the code of a handler node is given. */
import type { FailureJson } from "./failure-json.ts";
import type { JsonObject } from "./json.ts";
import type { StepPlanJson } from "./step-plan.ts";
import type { JobContext } from "./tool.ts";

/** What a handler knows about the job that it does. */
export type HandlerContext = JobContext;

/** The names that expressions of the graph see. */
export type HandlerInput<Vars = JsonObject> = {
  /** The run's vars, the job's own. Large members are parsed when they are first looked at. */
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
  /** The last failure: what an `onError` node was reached by. */
  readonly error: FailureJson | null;
  /** The time of the step, RFC 3339. */
  readonly now: string;
};

/** The code of a handler node. It computes a plan and is safe to run again: what changes the world belongs in effects. What it
 *  throws fails the attempt; the node's policy decides whether it is tried again. */
export type HandlerFunction = (input: HandlerInput, context: HandlerContext) => StepPlanJson | Promise<StepPlanJson>;
