import { expect, test } from "vitest";
import type { Instant } from "../core/duration.ts";
import type { RunState } from "../core/run.ts";
import type { Wait } from "../core/wait.ts";
import type { JobReason, RunExplanation } from "./api.ts";
import { nextMoveOf } from "./next-move.ts";

const NOW = "2026-01-02T03:04:05.678901Z" as Instant;
const PAST = "2026-01-02T03:00:00.000000Z" as Instant;
const LATER = "2026-01-02T04:00:00.000000Z" as Instant;

type Facts = Parameters<typeof nextMoveOf>[1];
type Job = RunExplanation["openJobs"][number];

function moveOf(state: Partial<RunState>, facts: Partial<Facts> = {}): { kind: string; message: string } {
  const run = { status: "running", paused: false, node: "think", ...state } as RunState;
  const settings = { leaseMs: 10_000, renewMs: 2_000, strayMs: 10_000 };
  return nextMoveOf(run, { now: NOW, mail: { first: [], total: 0 }, openJobs: [], settings, ...facts });
}

function waiting(wait: Partial<Wait> & Pick<Wait, "asks">): Partial<RunState> {
  const whole = { wait_id: "w1", node_id: "think", create_time: PAST, ...wait } as Wait;
  return { status: "waiting", inFlight: { at: "wait", wait: whole } };
}

function job(kind: JobReason["kind"], facts: Partial<Job> = {}): Job {
  return { kind: "tool", name: "pay", attempt: 1, reason: { kind, message: "", metadata: {} }, ...facts } as Job;
}

/** A run with calls in flight. */
const CALLING: Partial<RunState> = { inFlight: { at: "calls", calls: [] } };
const OWNER = { laneId: 1, serverId: "s1", process: "", lease: "other" } as const;
const MAIL = { mail: { first: [{ kind: "cancel", createTime: PAST }], total: 1 } };

test.each<[string, Partial<RunState>, Partial<Facts>, string, string]>([
  ["an ended run", { status: "failed" }, MAIL, "nothing", "Nothing: the run has ended (failed)."],
  ["mail of a parked run", waiting({ asks: "question" }), MAIL, "mail", "A server reads the run's mail (cancel)"],
  ["mail of a paused run", { paused: true }, MAIL, "mail", "A server reads the run's mail (cancel)"],
  ["mail of an active run", {}, { ...MAIL, owner: OWNER }, "server", "Server s1 computes on it now, at node think."],
  [
    "an unknown lane",
    {},
    { owner: { ...OWNER, serverId: "", lease: "ended" } },
    "claim",
    "Server (unknown) computed on it",
  ],
  ["an active run without an owner", {}, {}, "unknown", "Nothing that this server knows of"],
  ["calls without jobs", CALLING, {}, "unknown", "Nothing that this server knows of"],
  ["a paused run that waits", { ...waiting({ asks: "question" }), paused: true }, {}, "unpause", "UnpauseRun"],
  ["a question", waiting({ asks: "question" }), {}, "answer", "Somebody answers wait w1 with ResumeRun."],
  [
    "a question with a timeout",
    waiting({ asks: "question", due_time: LATER }),
    {},
    "answer",
    "by itself at 2026-01-02T04:00:00Z.",
  ],
  ["a question that is due", waiting({ asks: "question", due_time: PAST }), {}, "answer", "a server ends it now"],
  ["an approval", waiting({ asks: "approval" }), {}, "answer", "Somebody approves or denies the calls of wait w1"],
  ["a time", waiting({ asks: "time", due_time: LATER }), {}, "time", "The wait ends at 2026-01-02T04:00:00Z."],
  ["a time that came", waiting({ asks: "time", due_time: PAST }), {}, "time", "Its time came at 2026-01-02T03:00:00Z"],
  [
    "an event of a session",
    waiting({ asks: "event", names: ["a", "b*"], scope: "session", scope_id: "chat" }),
    {},
    "event",
    "Somebody emits event a or b* to session chat.",
  ],
  [
    "a job that has come back",
    CALLING,
    { openJobs: [job("no_worker"), job("retry_at")] },
    "retry",
    "Attempt 1 of tool `pay` begins.",
  ],
  [
    "jobs, the nearest first",
    CALLING,
    { openJobs: [job("held"), job("no_worker"), job("at_worker")] },
    "result",
    "returns the result",
  ],
  [
    "a worker that is away",
    CALLING,
    { openJobs: [job("no_worker"), job("worker_away")] },
    "worker_return",
    "comes back",
  ],
  [
    "handlers of a workflow",
    CALLING,
    { openJobs: [job("no_worker", { kind: "handler", name: "flow" })] },
    "worker",
    "A worker that serves handlers of workflow `flow` connects.",
  ],
  [
    "a custom effect",
    CALLING,
    { openJobs: [job("no_credit", { kind: "custom", name: "mail" })] },
    "worker_room",
    "A worker that serves custom effect `mail` has room for its job.",
  ],
  [
    "a job with a queue timeout that has no worker",
    CALLING,
    { openJobs: [job("no_worker", { state: "open", dueTime: LATER })] },
    "worker",
    "connects. If no worker takes the job, it fails by itself at 2026-01-02T04:00:00Z.",
  ],
  [
    "a job with a queue timeout whose workers have no room",
    CALLING,
    { openJobs: [job("no_credit", { state: "open", dueTime: LATER })] },
    "worker_room",
    "it fails by itself at 2026-01-02T04:00:00Z.",
  ],
  [
    "a job whose queue timeout is over",
    CALLING,
    { openJobs: [job("no_worker", { state: "open", dueTime: PAST })] },
    "worker",
    "No worker took the job by 2026-01-02T03:00:00Z: a server fails it now.",
  ],
])("%s", (_what, state, facts, kind, message) => {
  const move = moveOf(state, facts);
  expect(move.kind).toBe(kind);
  expect(move.message).toContain(message);
});
