import { addMs, type Instant, InstantError, parseDurationMs } from "./duration.ts";
import { DomainError } from "./errors.ts";
import type { Scope } from "./event.ts";
import { apply } from "./fold/fold.ts";
import type { Command, Decision } from "./decision.ts";
import { waitIdOf } from "./identifiers.ts";
import { assertJson, canonicalJson, type JsonObject } from "./json/json.ts";
import type { Workflow } from "./graph/graph.ts";
import type { Limits } from "./graph/limits.ts";
import { applyPatch, fieldPath, type PatchOp } from "./json/pointer.ts";
import { pointerText } from "./json/pointer-text.ts";
import type { RecordOf } from "./records.ts";
import type { TimeWait } from "./wait.ts";

/** The parameters of a new run. */
export type StartStimulus = {
  type: "start";
  now: Instant;
  tenantId: string;
  runId: string;
  vars: JsonObject;
  sessionId?: string;
  actorId?: string;
  parentRunId?: string;
  rootRunId?: string;
  labels: Record<string, string>;
  /** Each overrides the workflow's limit of the same name. */
  limits: Limits;
  paused: boolean;
  startAt?: Instant;
  /** The last numbers of the run's channels, read before this decision. */
  channels: Record<Scope, number>;
};

/**
 * Starts a run. The caller's vars override the workflow's defaults, name by name.
 * @throws {DomainError} VARS_INVALID if they do not fit the workflow's schema; PAYLOAD_TOO_LARGE if they are too large
 * together with the defaults; REQUEST_INVALID if run_timeout after start_at is beyond the year 9999
 */
export function startRun(stimulus: StartStimulus, workflow: Workflow): Decision {
  const { now, tenantId, runId, vars: given } = stimulus;
  const patch = startPatch(workflow.defaultVars, given);
  const vars = applyPatch({}, patch, { given });
  assertJson(vars);
  const problems = workflow.varsValidator?.validate(vars) ?? [];
  if (problems.length > 0) {
    throw new DomainError("VARS_INVALID", "The vars do not fit the workflow's schema.", {
      metadata: { workflow_id: workflow.workflowId },
      problems: problems.map(({ path, message }) => ({ path: fieldPath("vars", path), message })),
    });
  }
  const limits = { ...workflow.limits, ...stimulus.limits };
  const wait = startWait(stimulus);
  const begin = wait?.due_time ?? now;
  const record: RecordOf<"run.started"> = {
    tenant_id: tenantId,
    run_id: runId,
    kind: "run.started",
    seq: 1,
    time: now,
    epoch: 0,
    ...(stimulus.actorId === undefined ? {} : { actor_id: stimulus.actorId }),
    workflow: workflow.digest,
    body: {
      start: {
        workflow_id: workflow.workflowId,
        version: workflow.version,
        entry_node: workflow.entryNode,
        ...(stimulus.sessionId === undefined ? {} : { session_id: stimulus.sessionId }),
        ...(stimulus.parentRunId === undefined ? {} : { parent_run_id: stimulus.parentRunId }),
        root_run_id: stimulus.rootRunId ?? runId,
        labels: stimulus.labels,
        limits,
        channels: stimulus.channels,
      },
      patch,
      ...(stimulus.paused ? { paused: true } : {}),
      ...(wait === undefined ? {} : { wait }),
      ...(limits.runTimeout === undefined ? {} : { deadline_time: deadlineOf(begin, limits.runTimeout) }),
    },
    given: canonicalJson(given),
  };
  const commands: Command[] = [{ type: "notice", kind: "started", seq: 1 }];
  if (wait !== undefined) {
    commands.push({ type: "open_wait", wait, seq: 1 }, { type: "notice", kind: "waiting", seq: 1 });
  }
  return { run: apply(undefined, record, given), records: [record], commands };
}

/** The wait for a start time that is in the future. */
function startWait({ startAt, now, tenantId, runId }: StartStimulus): TimeWait | undefined {
  if (startAt === undefined || startAt <= now) return undefined;
  return { asks: "time", wait_id: waitIdOf(tenantId, runId, 0, 1), create_time: now, due_time: startAt };
}

function deadlineOf(begin: Instant, runTimeout: string): Instant {
  try {
    return addMs(begin, parseDurationMs(runTimeout));
  } catch (error) {
    if (!(error instanceof InstantError)) throw error;
    const problems = [{ path: "startAt", message: "plus the run_timeout is beyond the year 9999" }];
    throw new DomainError("REQUEST_INVALID", "The run's deadline would be out of range.", { problems });
  }
}

/** Writes the caller's vars over the defaults, so that the ledger stores them once. */
function startPatch(defaults: JsonObject | undefined, given: JsonObject): PatchOp[] {
  if (defaults === undefined) return [{ op: "set", path: "", of: "given" }];
  const over = Object.keys(given).map((name): PatchOp => {
    const path = pointerText([name]);
    return { op: "set", path, of: "given", at: path };
  });
  return [{ op: "set", path: "", value: defaults }, ...over];
}
