import { createHash } from "node:crypto";
import { v7 as uuidv7 } from "uuid";
import { DomainError } from "../../core/errors.ts";
import { scopeIdsOf } from "../../core/channel.ts";
import { type Channel, type Scope, SCOPES } from "../../core/event.ts";
import { canonicalJson } from "../../core/json/json.ts";
import { startRun as decideStart } from "../../core/start-run.ts";
import { checkLimits } from "../../core/graph/limits.ts";
import type { Workflow } from "../../core/graph/graph.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import type { Admission } from "../admission.ts";
import type { Caller, RunView, StartRequest } from "../api.ts";
import { actorOf } from "../caller.ts";
import { type Deadline, until } from "../deadline.ts";
import type { Essentials } from "../essentials.ts";
import { runKeyText } from "../run-table.ts";
import type { RunViewer } from "../run-view.ts";
import { performStart, type TransitionParts } from "../transition/perform.ts";

/** How often a start is attempted again because the run that was in its way has been deleted. */
const ATTEMPTS_MAX = 5;

type Parts = Pick<Essentials, "store"> & {
  transitions: TransitionParts;
  admission: Admission;
  viewOf: RunViewer;
};

/**
 * Starts a run. If the same request has started it already, returns that run.
 * @throws {DomainError} RUN_EXISTS, VARS_INVALID, WORKFLOW_UNKNOWN, VERSION_UNKNOWN, WORKFLOW_ARCHIVED, OVERLOADED
 */
export async function startRun(parts: Parts, caller: Caller, request: StartRequest): Promise<RunView> {
  checkRequest(request);
  const text = requestText(caller, request);
  return await parts.admission.admit(text.length, () => startAdmitted(parts, caller, request, text));
}

async function startAdmitted(parts: Parts, caller: Caller, request: StartRequest, text: string): Promise<RunView> {
  const key: RunKey = { tenantId: caller.tenantId, runId: request.runId ?? uuidv7() };
  const { transitions, store } = parts;
  const { deadline } = caller;
  const digest = createHash("sha256").update(text).digest("hex");
  const attempts = async (): Promise<StoredRun> => {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      // Read in parallel with the run, although that may exist already: most starts are new.
      const needs = readNeeds(transitions, key, request);
      needs.catch(() => undefined);
      // A repeated start returns its run even if the workflow has been archived since.
      const known =
        ownedRun(transitions, key) ??
        (request.runId === undefined ? undefined : await until(deadline, transitions.reads.loadRun(key)));
      if (known !== undefined) return assertSame(known, digest);
      if (attempt > 0 && (await store.runs.wasDeleted(key))) throw existedBefore(key.runId);
      const found = { ...(await until(deadline, needs)), digest, deadline };
      const started = await begin(transitions, key, { ...request, ...actorOf(caller) }, found);
      if (started !== undefined) return started;
    }
    throw new DomainError("TRANSITION_CONFLICT", `Run ${key.runId} was deleted and recreated concurrently; retry.`, {
      retryAfterMs: 100,
    });
  };
  return parts.viewOf(await transitions.runs.exclusive(key, attempts, deadline));
}

/** The run as it is in memory, if it is active at this server: no other server changes it. */
function ownedRun({ cache }: TransitionParts, key: RunKey): StoredRun | undefined {
  const known = cache.get(runKeyText(key));
  return known?.certainty === "owned" ? known.run : undefined;
}

/** What a start is decided from. */
type StartNeeds = { workflow: Workflow; channels: Record<Scope, number> };

async function readNeeds(transitions: TransitionParts, key: RunKey, request: StartRequest): Promise<StartNeeds> {
  const [workflow, channels] = await Promise.all([
    transitions.workflows.toStart(key.tenantId, request.workflowId, request.version),
    readChannels(transitions.reads, key, request),
  ]);
  return { workflow, channels };
}

async function begin(
  transitions: TransitionParts,
  { tenantId, runId }: RunKey,
  request: StartRequest & { actorId?: string },
  { workflow, channels, digest, deadline }: StartNeeds & { digest: string; deadline: Deadline | undefined },
): Promise<StoredRun | undefined> {
  const { workflowId: _workflowId, version: _version, runId: _runId, ...rest } = request;
  const now = transitions.clock.now();
  const decision = decideStart({ ...rest, type: "start", now, tenantId, runId, channels }, workflow);
  return await performStart(transitions, { tenantId, runId }, { decision, workflow, requestDigest: digest, deadline });
}

/**
 * The last number of each of the run's channels. They are read before the run exists, so events that are emitted once
 * it does have higher numbers.
 */
async function readChannels(
  reads: TransitionParts["reads"],
  key: RunKey,
  request: StartRequest,
): Promise<Record<Scope, number>> {
  const scopeIds = scopeIdsOf({ ...request, runId: key.runId });
  const channels = SCOPES.map((scope): Channel => ({ tenantId: key.tenantId, scope, scopeId: scopeIds[scope] }));
  const numbers = await Promise.all(channels.map((channel) => reads.readChannel(channel)));
  return Object.fromEntries(SCOPES.map((scope, index) => [scope, numbers[index]!])) as Record<Scope, number>;
}

function checkRequest(request: StartRequest): void {
  const problems: { path: string; message: string }[] = [];
  checkLimits(request.limits, "limits", problems);
  if (problems.length > 0) throw new DomainError("REQUEST_INVALID", "The request is not valid.", { problems });
}

/**
 * The text by which two starts are compared, in RFC 8785 form: the request without the run id, and who starts the run.
 */
function requestText(caller: Caller, request: StartRequest): string {
  const { runId: _runId, ...rest } = { ...request, ...actorOf(caller) };
  return canonicalJson(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)));
}

/** Idempotency keys and wait ids are derived from the run id, so a second run with the same id would repeat them. */
function existedBefore(runId: string): DomainError {
  const message = `Run ${runId} existed and was deleted; run ids are not used again.`;
  return new DomainError("RUN_EXISTS", message, { metadata: { run_id: runId } });
}

function assertSame(run: StoredRun, digest: string): StoredRun {
  if (run.requestDigest === digest) return run;
  const { runId } = run.state;
  throw new DomainError("RUN_EXISTS", `Run ${runId} was started by another request.`, { metadata: { run_id: runId } });
}
