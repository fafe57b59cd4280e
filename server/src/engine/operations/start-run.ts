import { createHash } from "node:crypto";
import { v7 as uuidv7 } from "uuid";
import { DomainError } from "../../core/errors.ts";
import { scopeIdsOf } from "../../core/event-wait.ts";
import { type Channel, type Scope, SCOPES } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import { startRun as decideStart } from "../../core/start-run.ts";
import { checkLimits, type Workflow } from "../../core/workflow.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { Caller, RunView, StartRequest } from "../api.ts";
import { type EngineContext, viewOf } from "../context.ts";
import { performStart } from "../transition/perform.ts";
import type { RunEntry } from "../run-table.ts";

/** How often a start begins again because the run that was in its way is gone. */
const ATTEMPTS_MAX = 5;

/**
 * Starts a run, or gives the one that the same request has started before.
 * @throws {DomainError} RUN_EXISTS, VARS_INVALID, WORKFLOW_UNKNOWN, VERSION_UNKNOWN, WORKFLOW_ARCHIVED, OVERLOADED
 */
export async function startRun(context: EngineContext, caller: Caller, request: StartRequest): Promise<RunView> {
  checkRequest(request);
  const text = requestText(request);
  return await context.admission.admit(text.length, () => startAdmitted(context, caller, request, text));
}

async function startAdmitted(
  context: EngineContext,
  caller: Caller,
  request: StartRequest,
  text: string,
): Promise<RunView> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId ?? uuidv7() };
  const digest = createHash("sha256").update(text).digest("hex");
  const run = await context.runs.exclusive(key, async (entry) => {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      // Read beside the run, though it may be there already: most starts are new.
      const needs = readNeeds(context, key, request);
      needs.catch(() => undefined);
      // A repeated start gives its run even if the workflow was archived since.
      const known = entry.state ?? (request.runId === undefined ? undefined : await context.loadRun(key));
      if (known !== undefined) return assertSame(known, digest);
      if (attempt > 0 && (await context.store.runs.wasDeleted(key))) throw existedBefore(key.runId);
      const started = await begin(context, entry, request, { ...(await needs), digest });
      if (started !== undefined) return started;
    }
    throw new DomainError("TRANSITION_CONFLICT", `Run ${key.runId} kept coming and going.`, { retryAfterMs: 100 });
  });
  return viewOf(context, run);
}

/** What a start is decided with. */
type StartNeeds = { workflow: Workflow; channels: Record<Scope, number> };

async function readNeeds(context: EngineContext, key: RunKey, request: StartRequest): Promise<StartNeeds> {
  const [workflow, channels] = await Promise.all([
    context.workflows.toStart(key.tenantId, request.workflowId, request.version),
    readChannels(context, key, request),
  ]);
  return { workflow, channels };
}

async function begin(
  context: EngineContext,
  entry: RunEntry,
  request: StartRequest,
  { workflow, channels, digest }: StartNeeds & { digest: string },
): Promise<StoredRun | undefined> {
  const { tenantId, runId } = entry.key;
  const { workflowId: _workflowId, version: _version, runId: _runId, ...rest } = request;
  const now = context.clock.next();
  const decision = decideStart({ ...rest, type: "start", now, tenantId, runId, channels }, workflow);
  return await performStart(context, entry, { decision, workflow, requestDigest: digest });
}

/** The last number of each of the run's channels, read before the run exists: what is emitted once it is there comes later. */
async function readChannels(
  context: EngineContext,
  key: RunKey,
  request: StartRequest,
): Promise<Record<Scope, number>> {
  const scopeIds = scopeIdsOf({ ...request, runId: key.runId });
  const channels = SCOPES.map((scope): Channel => ({ tenantId: key.tenantId, scope, scopeId: scopeIds[scope] }));
  const numbers = await Promise.all(channels.map((channel) => context.readChannel(channel)));
  return Object.fromEntries(SCOPES.map((scope, index) => [scope, numbers[index]!])) as Record<Scope, number>;
}

function checkRequest(request: StartRequest): void {
  const problems: { path: string; message: string }[] = [];
  checkLimits(request.limits, "limits", problems);
  if (problems.length > 0) throw new DomainError("REQUEST_INVALID", "The request is not valid.", { problems });
}

/** What makes two starts the same: everything but the run id, as RFC 8785 text. */
function requestText(request: StartRequest): string {
  const { runId: _runId, ...rest } = request;
  return canonicalJson(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)));
}

/** Idempotency keys and wait ids are derived from the run id: a second run of it would repeat those of the first. */
function existedBefore(runId: string): DomainError {
  const message = `Run ${runId} existed and was deleted; run ids are not used again.`;
  return new DomainError("RUN_EXISTS", message, { metadata: { run_id: runId } });
}

function assertSame(run: StoredRun, digest: string): StoredRun {
  if (run.requestDigest === digest) return run;
  const { runId } = run.state;
  throw new DomainError("RUN_EXISTS", `Run ${runId} was started by another request.`, { metadata: { run_id: runId } });
}
