import type { Instant } from "../../core/duration.ts";
import { DamageError } from "../../core/damage.ts";
import { hasEnded, openWaitOf } from "../../core/run.ts";
import type { StoredRun } from "../../store/contract/runs.ts";
import type { OwnerStanding, RunStanding } from "../../store/contract/standings.ts";
import { rowSeqOf } from "../../store/row-behind.ts";
import type { Caller, ChannelView, NextMove, RunExplanation, RunOwner } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import type { ServerLease } from "../lanes/server-lease.ts";
import { nextMoveOf } from "../next-move.ts";
import { runUnknown } from "../refusals.ts";
import { reportDamage } from "../report-damage.ts";
import type { RunViewer } from "../run-view.ts";
import type { WorkflowCache } from "../workflow-cache.ts";
import type { Workers } from "../workers/workers.ts";

type Parts = Pick<Essentials, "store" | "settings" | "log"> & {
  transitions: { workflows: Pick<WorkflowCache, "pinned"> };
  lanes: Pick<ServerLease, "serverId" | "sinceRenewalMs">;
  workers: Pick<Workers, "jobReason" | "handlerWorker">;
  viewOf: RunViewer;
};

/**
 * Explains why a run is where it is. Reads with one statement and takes no locks, so it works while another server
 * computes the run.
 * @throws {DomainError} RUN_UNKNOWN
 */
export async function explainRun(parts: Parts, { tenantId }: Caller, runId: string): Promise<RunExplanation> {
  const { store, settings, log, lanes, workers, viewOf } = parts;
  const standing = await store.standings.read({ tenantId, runId });
  if (standing === undefined) throw runUnknown(runId);
  const { now, run, mail, jobCounts } = standing;
  const wakeTime = wakeTimeOf(standing);
  const { state } = run;
  const handlerWorker = workers.handlerWorker({ tenantId, runId });
  const explained = {
    now,
    mail,
    openJobs: standing.openJobs.map((job) => ({ ...job, reason: workers.jobReason(state, job) })),
    ...(standing.owner === undefined ? {} : { owner: ownerOf(standing.owner, lanes) }),
    ...channelOf(standing),
  };
  const facts = { ...explained, settings, ...(handlerWorker === undefined ? {} : { handlerWorker }) };
  const damage = await damageOf(parts, run);
  reportDamage(log, damage);
  return {
    ...explained,
    run: viewOf(run, "basic"),
    next: damage === undefined ? nextMoveOf(state, facts) : ofDamage(damage),
    ...(wakeTime === undefined ? {} : { wakeTime }),
    rowRecordsBehind: state.seq - rowSeqOf(run),
    jobCounts,
  };
}

/** What is damaged of the run or its graph, so that no server can take it further. */
async function damageOf({ transitions }: Parts, { state, damage }: StoredRun): Promise<DamageError | undefined> {
  if (damage !== undefined || hasEnded(state)) return damage;
  try {
    await transitions.workflows.pinned(state.tenantId, state.workflowId, state.version);
    return undefined;
  } catch (error) {
    return error instanceof DamageError ? error : undefined;
  }
}

function ofDamage({ message, metadata }: DamageError): NextMove {
  return { kind: "unknown", message: `Nothing, until somebody repairs its data. ${message}`, metadata };
}

/**
 * When the run, or a job of it that waits, next moves by itself. The row of a run does not have the times of its jobs.
 */
function wakeTimeOf({ wakeTime, openJobs }: RunStanding): Instant | undefined {
  const jobTimes = openJobs.map(({ state, held, dueTime }) =>
    !held && (state === "open" || state === "delayed") ? dueTime : undefined,
  );
  return [wakeTime, ...jobTimes].filter((time) => time !== undefined).toSorted()[0];
}

function ownerOf({ laneId, ended, server }: OwnerStanding, lanes: Parts["lanes"]): RunOwner {
  const { serverId, process } = server ?? { serverId: "", process: "" };
  if (ended) return { laneId, serverId, process, lease: "ended" };
  const sinceRenewalMs = lanes.sinceRenewalMs(serverId);
  return {
    laneId,
    serverId,
    process,
    lease: serverId === lanes.serverId() ? "own" : "other",
    ...(sinceRenewalMs === undefined ? {} : { sinceRenewalMs }),
  };
}

/**
 * The position of the run's event wait. Waits that were open have seen all events up to `wokenNumber`; a wait that
 * opened later has looked up its events itself.
 */
function channelOf({ run: { state }, channel }: RunStanding): { channel?: ChannelView } {
  const wait = openWaitOf(state);
  if (channel === undefined || wait?.asks !== "event") return {};
  const { scope, scope_id: scopeId } = wait;
  const startNumber = state.channels[scope];
  const lookedNumber = Math.min(Math.max(channel.wokenNumber, startNumber), Math.max(channel.lastNumber, startNumber));
  return { channel: { scope, scopeId, lastNumber: channel.lastNumber, lookedNumber, startNumber } };
}
