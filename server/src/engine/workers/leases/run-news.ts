/**
 * What news of a run does to its jobs here: jobs that the run does not need any more are stopped; the others are paused
 * with it.
 */
import { isOpen } from "../../../core/call.ts";
import { type RunState, callsOf } from "../../../core/run.ts";
import type { RunKey, StoredRun } from "../../../store/contract/runs.ts";
import { reportFailure } from "../../report-failure.ts";
import { runKeyText } from "../../run-table.ts";
import type { Session } from "../session.ts";
import { cancelJob } from "./remove-job.ts";
import type { LeaseState, RunWatch } from "./state.ts";

export function takeNews(state: LeaseState, { text, key }: RunWatch, run: StoredRun | undefined): void {
  if (run === undefined) readRun(state, text, key);
  else checkJobs(state, text, run.state);
}

/**
 * Reads the runs of all jobs of a session that is connected again, so that its worker learns which are paused or not
 * needed.
 */
export function readRunsOf(state: LeaseState, session: Session): void {
  const runs = new Map<string, RunKey>();
  for (const job of session.jobs.values()) {
    job.isPaused = false;
    if (job.handlerRun === undefined) runs.set(runKeyText(job.run), job.run);
  }
  for (const [text, key] of runs) readRun(state, text, key);
}

function readRun(state: LeaseState, text: string, key: RunKey): void {
  readAndCheck(state, text, key).catch(reportFailure(state.pool.context.log, "reading the run of a job failed"));
}

async function readAndCheck(state: LeaseState, text: string, key: RunKey): Promise<void> {
  const run = await state.pool.context.loadRunHead(key);
  checkJobs(state, text, run?.state);
}

/** @param run undefined if the run does not exist any more */
function checkJobs(state: LeaseState, text: string, run: RunState | undefined): void {
  // The run may have lost its last job here while it was read.
  const watch = state.watches.get(text);
  if (watch === undefined) return;
  const attempts = openAttempts(run);
  for (const token of watch.tokens) {
    const entry = state.pool.jobs.get(token);
    if (entry === undefined) continue;
    const { session, job } = entry;
    if (attempts.get(job.idempotencyKey) !== job.attempt) {
      cancelJob(state, session, job);
    } else if (run!.paused !== job.isPaused) {
      job.isPaused = run!.paused;
      session.link?.send({ type: "pause", tokens: [token], paused: job.isPaused });
    }
  }
}

/** The attempt of each call that has no outcome, by idempotency key. */
function openAttempts(run: RunState | undefined): Map<string, number> {
  const attempts = new Map<string, number>();
  for (const call of run === undefined ? [] : callsOf(run)) {
    if (isOpen(call)) attempts.set(call.idempotency_key, call.attempt ?? 1);
  }
  return attempts;
}
