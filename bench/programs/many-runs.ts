/**
 * Keeps a number of runs of a workflow in progress: when one ends, another is started.
 *
 * One WatchRuns stream over all runs reports the ends: one message per run, while AwaitRun would be one request per
 * run. One StartRuns request replaces all runs that ended in one turn of the event loop. A single run is started and
 * awaited instead, as a client that wants the result would do.
 */
import { NoticeKind } from "@abstractruntime/proto/notice_pb";
import { machineMs } from "../clock.ts";
import { connect, register, runToEnd } from "../connection.ts";
import { percentile } from "../statistics.ts";
import { createWorkflows, type WorkflowName } from "../workflows.ts";
import { answerRequests, programArgument } from "./program.ts";

export type ManyRunsArgument = { url: string; workflow: WorkflowName; runs: number };
export type ManyRunsReply = { runs: number; seconds: number; p50Ms: number; p99Ms: number };
/** What ended since the last sample, and how many runs have ended in total. */
export type ManyRunsSample = { latencies: number[]; seconds: number; runsInAll: number };

/** From the contract. */
const STARTS_MAX = 500;
/** How often paced runs are started: often enough that each batch is a small part of the runs in progress. */
const PACE_MS = 10;
/** The most paced runs in progress. If there are more, the server does not keep up, and the measurement is
 *  pointless. */
const PACED_RUNS_MAX = 5_000;

const { url, workflow, runs } = programArgument() as ManyRunsArgument;
const connection = connect(url);
const { runtime } = connection;
const { workflowId, version } = await register(connection, createWorkflows()[workflow]);

const isAlone = runs === 1;

/** When each run in progress was started. */
const startedAt = new Map<string, number>();
let lastRun = 0;
let pendingStarts = 0;
let endedRuns = 0;
/** How runs are started. */
let mode: "replaced" | "paced" | "ending" = "ending";
let pacing: NodeJS.Timeout | undefined;
let measuring: { beginMs: number; latencies: number[] } | undefined;
const failed = Promise.withResolvers<never>();
failed.promise.catch(() => undefined);
let allEnded = Promise.withResolvers<void>();

function startOne(): void {
  pendingStarts += 1;
  if (pendingStarts === 1) setImmediate(() => void startPending().catch(failed.reject));
}

async function startPending(): Promise<void> {
  const count = Math.min(pendingStarts, STARTS_MAX);
  pendingStarts -= count;
  if (pendingStarts > 0) setImmediate(() => void startPending().catch(failed.reject));
  const requests = Array.from({ length: count }, () => {
    lastRun += 1;
    return { runId: `run-${lastRun}`, workflowId, version, vars: { order: lastRun } };
  });
  const nowMs = machineMs();
  for (const { runId } of requests) startedAt.set(runId, nowMs);
  if (isAlone) {
    for (const request of requests) {
      await runToEnd(connection, request);
      onEnd(request.runId, NoticeKind.COMPLETED);
    }
    return;
  }
  const { results } = await runtime.startRuns({ requests });
  for (const { result } of results)
    if (result.case !== "run") throw new Error(`a start was refused: ${result.value?.message}`);
}

function onEnd(runId: string, kind: NoticeKind): void {
  const started = startedAt.get(runId);
  if (started === undefined) return;
  if (kind !== NoticeKind.COMPLETED) throw new Error(`run ${runId} did not complete; notice kind ${kind}`);
  startedAt.delete(runId);
  // A run that began in the warm-up counts too: about as many are still in progress at the end of the measurement.
  measuring?.latencies.push(machineMs() - started);
  endedRuns += 1;
  if (mode === "replaced") startOne();
  else if (mode === "ending") settleEnd();
}

function settleEnd(): void {
  if (startedAt.size === 0 && pendingStarts === 0) allEnded.resolve();
}

/** No more runs are started. */
function beginEnding(): void {
  clearInterval(pacing);
  mode = "ending";
  settleEnd();
}

/** Starts runs at a constant rate, independent of ends. */
function startPaced(perSecond: number): void {
  const beginMs = machineMs();
  let started = 0;
  mode = "paced";
  pacing = setInterval(() => {
    const due = Math.floor(((machineMs() - beginMs) / 1_000) * perSecond);
    if (startedAt.size + due - started > PACED_RUNS_MAX) {
      failed.reject(new Error(`more than ${PACED_RUNS_MAX} runs are under way: the server does not keep up`));
    }
    for (; started < due; started++) startOne();
  }, PACE_MS);
}

function take(): { latencies: number[]; seconds: number } {
  if (measuring === undefined) throw new Error("the measurement has not begun");
  const { beginMs, latencies } = measuring;
  return { latencies, seconds: (machineMs() - beginMs) / 1_000 };
}

async function followEnds(onOpen: () => void): Promise<void> {
  const kinds = [NoticeKind.COMPLETED, NoticeKind.FAILED, NoticeKind.CANCELLED];
  for await (const { event } of runtime.watchRuns({ filter: { workflowId }, kinds })) {
    // The first message gives the stream's position: it will report all runs that start from now on.
    onOpen();
    if (event.case === "notice") onEnd(event.value.run?.runId ?? "", event.value.kind);
  }
  throw new Error("the stream of notices ended");
}

if (!isAlone) {
  const opened = Promise.withResolvers<void>();
  followEnds(opened.resolve).catch(failed.reject);
  await Promise.race([opened.promise, failed.promise]);
}

answerRequests({
  start() {
    mode = "replaced";
    allEnded = Promise.withResolvers();
    for (let index = 0; index < runs; index++) startOne();
  },
  /** As `start`, but at a constant rate instead of one for each run that ends. */
  pace({ perSecond }: { perSecond: number }) {
    allEnded = Promise.withResolvers();
    startPaced(perSecond);
  },
  begin() {
    measuring = { beginMs: machineMs(), latencies: [] };
  },
  /** Returns what was measured since `begin`, and begins again. */
  sample(): Promise<ManyRunsSample> {
    const sample = { ...take(), runsInAll: endedRuns };
    measuring = { beginMs: machineMs(), latencies: [] };
    return Promise.race([failed.promise, Promise.resolve(sample)]);
  },
  /** Returns what was measured since `begin`, and stops starting runs. */
  end(): Promise<ManyRunsReply> {
    const { latencies, seconds } = take();
    measuring = undefined;
    beginEnding();
    const reply = {
      runs: latencies.length,
      seconds,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
    };
    // Rejects if a run has failed.
    return Promise.race([failed.promise, Promise.resolve(reply)]);
  },
  /** Stops starting runs; resolves when every started run has completed. */
  drain() {
    beginEnding();
    return Promise.race([failed.promise, allEnded.promise]);
  },
});
