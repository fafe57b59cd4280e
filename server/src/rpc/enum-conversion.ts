/** Maps the contract's enums to the words that core uses. */
import { Scope } from "@abstractruntime/proto/event_pb";
import { NoticeKind } from "@abstractruntime/proto/notice_pb";
import { BlockedReason, RunOrder, RunStatus, RunView } from "@abstractruntime/proto/run_pb";
import { PatchOpKind, PatchSource, StepStatus } from "@abstractruntime/proto/step_record_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";
import type { Scope as CoreScope } from "../core/event.ts";
import type { PatchOp, PatchSource as CorePatchSource } from "../core/json/pointer.ts";
import type { RunStatus as CoreRunStatus } from "../core/run.ts";
import type { StepStatus as CoreStepStatus } from "../core/records.ts";
import type { WaitReason as CoreWaitReason } from "../core/wait.ts";
import type * as engine from "../engine/api.ts";

export const RUN_STATUS = {
  running: RunStatus.RUNNING,
  waiting: RunStatus.WAITING,
  completed: RunStatus.COMPLETED,
  failed: RunStatus.FAILED,
  cancelled: RunStatus.CANCELLED,
} as const satisfies Record<CoreRunStatus, RunStatus>;

export const BLOCKED_REASON = {
  no_worker: BlockedReason.NO_WORKER,
  retry_at: BlockedReason.RETRY_AT,
  rate_limit: BlockedReason.RATE_LIMIT,
} as const satisfies Record<engine.BlockedReason, BlockedReason>;

export const WAIT_REASON = {
  event: WaitReason.EVENT,
  until: WaitReason.UNTIL,
  user: WaitReason.USER,
  job: WaitReason.JOB,
  subworkflow: WaitReason.SUBWORKFLOW,
} as const satisfies Record<CoreWaitReason, WaitReason>;

export const SCOPE = {
  run: Scope.RUN,
  session: Scope.SESSION,
  workflow: Scope.WORKFLOW,
  global: Scope.GLOBAL,
} as const satisfies Record<CoreScope, Scope>;

export const STEP_STATUS = {
  started: StepStatus.STARTED,
  waiting: StepStatus.WAITING,
  completed: StepStatus.COMPLETED,
  failed: StepStatus.FAILED,
  cancelled: StepStatus.CANCELLED,
} as const satisfies Record<CoreStepStatus, StepStatus>;

export const PATCH_OP_KIND = {
  set: PatchOpKind.SET,
  append: PatchOpKind.APPEND,
  unset: PatchOpKind.UNSET,
} as const satisfies Record<PatchOp["op"], PatchOpKind>;

export const PATCH_SOURCE = {
  given: PatchSource.GIVEN,
  result: PatchSource.RESULT,
  calls: PatchSource.CALLS,
} as const satisfies Record<CorePatchSource, PatchSource>;

export const NOTICE_KIND = {
  started: NoticeKind.STARTED,
  waiting: NoticeKind.WAITING,
  resumed: NoticeKind.RESUMED,
  paused: NoticeKind.PAUSED,
  unpaused: NoticeKind.UNPAUSED,
  completed: NoticeKind.COMPLETED,
  failed: NoticeKind.FAILED,
  cancelled: NoticeKind.CANCELLED,
} as const satisfies Record<engine.NoticeKind, NoticeKind>;

/** Returns the words for enum values. Validation has already refused unknown values; any that are left are dropped. */
function wordsOf<W extends string>(table: Record<W, number>): (values: readonly number[]) => W[] {
  const byValue = new Map(Object.entries(table).map(([word, value]) => [value, word as W]));
  return (values) => values.flatMap((value) => byValue.get(value) ?? []);
}

export const runStatusesFromProto = wordsOf(RUN_STATUS);
export const waitReasonsFromProto = wordsOf(WAIT_REASON);
export const noticeKindsFromProto = wordsOf(NOTICE_KIND);

const scopesFromProto = wordsOf(SCOPE);

/** SCOPE_UNSPECIFIED means SCOPE_RUN. */
export function scopeFromProto(scope: Scope): CoreScope {
  return scopesFromProto([scope])[0] ?? "run";
}

/** RUN_ORDER_UNSPECIFIED means the newest first. */
export function runOrderFromProto(order: RunOrder): "create_time_desc" | "create_time_asc" | "update_time_desc" {
  switch (order) {
    case RunOrder.CREATE_TIME_ASC:
      return "create_time_asc";
    case RunOrder.UPDATE_TIME_DESC:
      return "update_time_desc";
    default:
      return "create_time_desc";
  }
}

/** RUN_VIEW_UNSPECIFIED means RUN_VIEW_FULL. */
export function runViewFromProto(view: RunView): "basic" | "full" {
  return view === RunView.BASIC ? "basic" : "full";
}
