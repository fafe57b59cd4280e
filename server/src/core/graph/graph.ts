/** A compiled workflow: every expression, template and schema is compiled. The compiler is `compile/`. */
import type { StepSequel } from "../call.ts";
import type { Expression } from "../expression/evaluate.ts";
import type { JsonObject } from "../json/json.ts";
import type { SchemaValidator } from "../json/json-schema.ts";
import type { WorkflowDefinition } from "./definition.ts";
import type { EffectPolicy } from "./effect-policy.ts";
import type { Limits } from "./limits.ts";

/** The compiled form of what a node does. The file of its `type`, in `effects/` or `nodes/`, defines the other
 *  fields. */
export type CompiledKind = { readonly type: string };

export type Edge = { to: string; when?: Expression };

export type WorkflowNode = {
  nodeId: string;
  kind: CompiledKind;
  /** JSON Pointer into vars. */
  resultPointer?: string;
  next: readonly Edge[];
  onError?: string;
  policy: EffectPolicy;
  /** Set on a handler node while the run is at the effect of a step plan: the plan's replacement for `resultPointer`
   *  and `next`. */
  sequel?: StepSequel;
};

/** A handler node while the run is at the effect of a step plan. */
export function nodeWithSequel(node: WorkflowNode, sequel: StepSequel): WorkflowNode {
  const { resultPointer: _resultPointer, ...rest } = node;
  return {
    ...rest,
    sequel,
    ...(sequel.result_path === undefined ? {} : { resultPointer: sequel.result_path }),
    next: sequel.to === undefined ? [] : [{ to: sequel.to }],
  };
}

export type Workflow = {
  workflowId: string;
  /** Assigned by the store; 0 before the workflow is registered. */
  version: number;
  digest: string;
  /** About how many bytes it takes in memory, for caches. */
  weight: number;
  definition: WorkflowDefinition;
  entryNode: string;
  nodes: ReadonlyMap<string, WorkflowNode>;
  defaultVars?: JsonObject;
  varsValidator?: SchemaValidator;
  onError?: string;
  onCancel?: string;
  limits: Limits;
  commitEveryStep: boolean;
};
