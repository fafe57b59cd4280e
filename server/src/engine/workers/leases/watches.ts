/**
 * News of the runs whose jobs are here. News from another server may be lost; `reconcileLeases` finds what it was
 * about.
 */
import type { StoredRun } from "../../../store/contract/runs.ts";
import { runKeyText } from "../../run-table.ts";
import type { AssignedJob } from "../assigned-job.ts";
import type { LeaseState, RunWatch } from "./state.ts";

/** @param run the run as this server has committed it; undefined if another server has changed it */
export type OnNews = (state: LeaseState, watch: RunWatch, run: StoredRun | undefined) => void;

/** Watches the job's run until its last job here has ended. */
export function watchRun(state: LeaseState, job: AssignedJob, onNews: OnNews): void {
  const { watches, pool } = state;
  const text = runKeyText(job.run);
  const known = watches.get(text);
  if (known !== undefined) {
    known.tokens.add(job.token);
    return;
  }
  const watch: RunWatch = {
    key: job.run,
    text,
    tokens: new Set([job.token]),
    unwatch: pool.context.hub.watchNamedRun(job.run, (run) => onNews(state, watch, run)),
  };
  watches.set(text, watch);
}

export function unwatchRun({ watches }: LeaseState, job: AssignedJob): void {
  const text = runKeyText(job.run);
  const watch = watches.get(text);
  if (watch === undefined) return;
  watch.tokens.delete(job.token);
  if (watch.tokens.size > 0) return;
  watch.unwatch();
  watches.delete(text);
}
