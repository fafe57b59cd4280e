/** What would move a run next: of the things that can, the nearest one. For people who ask why a run does not go on. */
import { type Instant, secondsText } from "../core/duration.ts";
import { hasEnded, isActive, openWaitOf, type RunState } from "../core/run.ts";
import type { EventWait, Wait } from "../core/wait.ts";
import type { ChannelView, JobReason, NextMove, RunExplanation, RunOwner } from "./api.ts";
import type { EngineSettings } from "./settings.ts";
import { queueWords } from "./workers/job-reason.ts";

type Facts = Pick<RunExplanation, "now" | "mail" | "owner" | "channel" | "openJobs"> & {
  /** The session of the worker of this server that has the run's handler. */
  handlerWorker?: string;
  settings: Pick<EngineSettings, "leaseMs" | "renewMs" | "strayMs">;
};

export function nextMoveOf(run: RunState, facts: Facts): NextMove {
  if (hasEnded(run)) return { kind: "nothing", message: `Nothing: the run has ended (${run.status}).`, metadata: {} };
  if (isActive(run) && facts.owner !== undefined) return ofOwner(run, facts.owner, facts);
  if (facts.mail.total > 0) return ofMail(facts);
  if (run.paused) {
    const message = "Somebody unpauses the run with UnpauseRun, or takes a step with TickRun.";
    return { kind: "unpause", message, metadata: {} };
  }
  const wait = openWaitOf(run);
  if (wait !== undefined) return ofWait(wait, facts);
  return ofJobs(facts) ?? unknown(run);
}

function ofOwner(run: RunState, owner: RunOwner, { handlerWorker, settings }: Facts): NextMove {
  const { serverId, lease } = owner;
  const metadata = { server_id: serverId };
  if (lease === "ended") {
    const every = secondsOf(settings.renewMs);
    const was = `Server ${serverId || "(unknown)"} computed on it, and its lease has ended.`;
    return { kind: "claim", message: `${was} Another server claims the run; each checks every ${every}.`, metadata };
  }
  if (lease === "other") {
    const after = secondsOf(settings.leaseMs);
    const is = `Server ${serverId} computes on it now, at node ${run.node}.`;
    const otherwise = `If that server is gone, another one claims its runs ${after} after its lease was last renewed.`;
    return { kind: "server", message: `${is} ${otherwise}`, metadata };
  }
  if (handlerWorker === undefined) {
    const message = `Server ${serverId}, which answers this, computes on it now, at node ${run.node}.`;
    return { kind: "server", message, metadata };
  }
  const returns = `Worker ${handlerWorker} returns from the handler of node ${run.node}.`;
  const message = `${returns} Server ${serverId}, which answers this, waits for it.`;
  return { kind: "result", message, metadata: { ...metadata, worker_session_id: handlerWorker } };
}

function ofMail({ mail, settings }: Facts): NextMove {
  const kinds = [...new Set(mail.first.map(({ kind }) => kind))].join(", ");
  const late = `within ${secondsOf(settings.strayMs)} if the server that was to read it is gone`;
  return { kind: "mail", message: `A server reads the run's mail (${kinds}): at once, or ${late}.`, metadata: {} };
}

function ofWait(wait: Wait, { now, channel }: Facts): NextMove {
  const { wait_id: waitId, due_time: dueTime } = wait;
  const metadata = { wait_id: waitId, ...(dueTime === undefined ? {} : { due_time: dueTime }) };
  switch (wait.asks) {
    case "question":
    case "approval": {
      const what = wait.asks === "question" ? "answers" : "approves or denies the calls of";
      return {
        kind: "answer",
        message: `Somebody ${what} wait ${waitId} with ResumeRun.${untilDue(dueTime, now)}`,
        metadata,
      };
    }
    case "time":
      return { kind: "time", message: timeMessage(wait.due_time, now, wait.node_id === undefined), metadata };
    case "event":
      return { kind: "event", message: `${eventMessage(wait)}${unseen(channel)}${untilDue(dueTime, now)}`, metadata };
  }
}

function timeMessage(dueTime: Instant, now: Instant, isStart: boolean): string {
  if (dueTime <= now) return `Its time came at ${secondsText(dueTime)}: a server wakes it now.`;
  return isStart ? `The run starts at ${secondsText(dueTime)}.` : `The wait ends at ${secondsText(dueTime)}.`;
}

function eventMessage({ names, scope, scope_id: scopeId, key }: EventWait): string {
  const where = scopeId === "" ? scope : `${scope} ${scopeId}`;
  const withKey = key === undefined ? "" : ` with key ${key}`;
  return `Somebody emits event ${names.join(" or ")}${withKey} to ${where}.`;
}

/** Describes events that the run is not known to have seen. */
function unseen(channel: ChannelView | undefined): string {
  if (channel === undefined || channel.lookedNumber >= channel.lastNumber) return "";
  const { lookedNumber, lastNumber } = channel;
  const looked = `the run has seen those up to ${lookedNumber}, and a server checks the rest now`;
  return ` Its channel has new events, up to number ${lastNumber}; ${looked}.`;
}

function untilDue(dueTime: Instant | undefined, now: Instant): string {
  if (dueTime === undefined) return "";
  return dueTime <= now
    ? ` The wait was due at ${secondsText(dueTime)}: a server ends it now.`
    : ` If that does not happen, the wait ends by itself at ${secondsText(dueTime)}.`;
}

/** The kind of move for each reason of a job, the nearest first. */
const MOVES = {
  at_worker: "result",
  queue: "worker_room",
  no_credit: "worker_room",
  retry_at: "retry",
  worker_away: "worker_return",
  no_worker: "worker",
  held: "unpause",
} as const satisfies Record<JobReason["kind"], NextMove["kind"]>;

const NEAREST_FIRST = Object.keys(MOVES) as JobReason["kind"][];

function ofJobs({ openJobs, now }: Facts): NextMove | undefined {
  const nearest = openJobs.toSorted(
    (a, b) => NEAREST_FIRST.indexOf(a.reason.kind) - NEAREST_FIRST.indexOf(b.reason.kind),
  )[0];
  if (nearest === undefined) return undefined;
  const { reason, kind, name } = nearest;
  const until = queueTimeoutOf(nearest);
  const dueTime = until === undefined ? {} : { due_time: until };
  const metadata = { ...reason.metadata, job_kind: kind, job_name: name, ...dueTime };
  return { kind: MOVES[reason.kind], message: `${jobMessage(nearest)}${untilTimeout(until, now)}`, metadata };
}

function jobMessage(job: Facts["openJobs"][number]): string {
  const { reason, attempt, dueTime, workerSessionId = "" } = job;
  const words = queueWords(job);
  switch (reason.kind) {
    case "at_worker":
      return `Worker ${workerSessionId} returns the result of attempt ${attempt} of ${words}.`;
    case "queue":
    case "no_credit":
      return `A worker that serves ${words} has room for its job. ${reason.message}`;
    case "retry_at":
      return `Attempt ${attempt} of ${words} begins${dueTime === undefined ? "" : ` at ${secondsText(dueTime)}`}.`;
    case "worker_away":
      return `Worker ${workerSessionId}, which has ${words}, comes back, or its lease ends.`;
    case "no_worker":
      return `A worker that serves ${words} connects.`;
    case "held":
      return "Somebody unpauses the run with UnpauseRun.";
  }
}

/** When the job fails by itself because no worker has taken it: only a job that waits in its queue does. */
function queueTimeoutOf({ state, held, dueTime }: Facts["openJobs"][number]): Instant | undefined {
  return state === "open" && !held ? dueTime : undefined;
}

function untilTimeout(until: Instant | undefined, now: Instant): string {
  if (until === undefined) return "";
  return until <= now
    ? ` No worker took the job by ${secondsText(until)}: a server fails it now.`
    : ` If no worker takes the job, it fails by itself at ${secondsText(until)}.`;
}

function unknown({ node }: RunState): NextMove {
  return { kind: "unknown", message: `Nothing that this server knows of: the run is at node ${node}.`, metadata: {} };
}

function secondsOf(ms: number): string {
  return `${ms / 1_000} s`;
}
