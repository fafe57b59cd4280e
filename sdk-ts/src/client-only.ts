/** `@abstractruntime/sdk/client`: the SDK without tools and workers. Where a bundler resolves for browsers, it loads
 *  nothing of Node. */
export {
  type AwaitOptions,
  Client,
  type ClientOptions,
  type ControlOptions,
  type OutsideEvent,
  type RespondOptions,
  type StartOptions,
} from "./client.ts";
export type { ConnectedWorker, ConnectedWorkers } from "./connected-workers.ts";
export type { CallOptions } from "./connection.ts";
export type { EffectPolicy } from "./effect-policy.ts";
export * from "./effects/effects.ts";
export {
  ConnectionError,
  type FieldProblem,
  type RefusalCode,
  type RefusalReason,
  RefusedError,
  RunCancelledError,
  RunFailedError,
} from "./errors.ts";
export type { FailureJson } from "./failure-json.ts";
export type { HandlerContext, HandlerFunction, HandlerInput } from "./handler.ts";
export type { Json, JsonObject } from "./json.ts";
export type { Ledger } from "./ledger.ts";
export type { BuiltNode, Edge, EffectSettings, JobSettings, Next, NodeSettings } from "./node.ts";
export * from "./nodes/nodes.ts";
export type { ListOptions } from "./pages.ts";
export type { PathOf, ValueAt } from "./path.ts";
export type { Node, PlainNode } from "./plain-node.ts";
export type { BlockedReason, Failure, Notice, NoticeKind, Run, RunReference, RunStatus, RunSummary } from "./run.ts";
export type { JobReason, JobState, NextMove, OpenJob, RunExplanation, RunOwner } from "./run-explanation.ts";
export type { RunFilter, RunOrderName, Runs } from "./runs.ts";
export { type JsonSchema, jsonSchema, type Schema, type StandardSchema } from "./schema.ts";
export type { Scope } from "./scope.ts";
export { type Changes, type Follow, goTo, type PatchOp, type StepPlan, type StepPlanJson } from "./step-plan.ts";
export type { RecordedPatchOp, StepRecord, StepStatus } from "./step-record.ts";
export type { Wait, WaitReason } from "./wait.ts";
export type { WaitFilter, Waits } from "./waits.ts";
export type { Watch } from "./watch.ts";
export { type Limits, workflow, type Workflow, type WorkflowOptions } from "./workflow.ts";
export type { RegisteredWorkflow, Workflows } from "./workflows.ts";
