/**
 * Handlers that this server runs for active runs of its own, without a job row: a handler computes and is safe to run again, so
 * nothing of it needs to be committed before its step plan is. Lost with the process; whoever claims the run asks again.
 *
 *   waiting ──offered──> offered ──result, failure──> done ──committed──> forgotten
 *      └──nobody serves it, or nobody has time──> done (unserved)   └──worker gone──> done (lost): the run is parked on a job
 */
import type { HandlerRequest } from "../../core/decision.ts";
import type { HandlerOutcome } from "../../core/run-handler.ts";
import type { RunKey, StoredRun } from "../../store/contract.ts";
import { runKeyText } from "../run-table.ts";
import { queueText } from "./job-queue.ts";

export type HandlerRun = {
  readonly request: HandlerRequest;
  /** Its run, as `runKeyText` has it. */
  readonly runText: string;
  readonly queue: string;
  /** The run as it was when the handler was asked for, so that it need not be read again; absent while more of it is uncommitted. */
  run?: StoredRun;
  /** Under which a worker has it; absent while none does. */
  token?: string;
  outcome?: HandlerOutcome;
  /** Resolves when there is an outcome, or the run has gone another way. */
  readonly done: Promise<void>;
  /** Told once: whether what the worker gave counts. */
  onTaken?: (counts: boolean) => void;
};

export type HandlerRuns = {
  /** The handler's run for a decision; begun unless it is under way. */
  begin(request: HandlerRequest, run?: StoredRun): HandlerRun;
  /** The handler that was asked for with just this run, if there is an outcome. */
  finishedFor(run: StoredRun): HandlerRun | undefined;
  /** The run as it was when its handler was asked for. */
  rememberedRun(key: RunKey): StoredRun | undefined;
  forgetRun(key: RunKey): void;
  /** Notes what came of it, and has the run go on. */
  finish(handlerRun: HandlerRun, outcome: HandlerOutcome): void;
  /** The outcome is committed. */
  taken(handlerRun: HandlerRun): void;
  /** The run was changed: a handler that was asked for before is of no use any more. */
  runMoved(key: RunKey, run: StoredRun): void;
  /**
   * Handlers for steps behind `afterSeq` are of no use: what they were asked for with was not committed, and what is decided next may
   * be something else, with the same seq and so the same key. 0: the run is nobody's, or another server's.
   */
  abandon(key: RunKey, afterSeq: number): void;
};

/** Those that are not forgotten, each with what resolves its `done`. */
type Entries = Map<HandlerRun, () => void>;

const NO_ENTRIES: ReadonlyMap<HandlerRun, () => void> = new Map();

export function createHandlerRuns(options: {
  /** Looks for a worker. */
  onBegin: (handlerRun: HandlerRun) => void;
  onDone: (key: RunKey) => void;
  /** Nobody wants the outcome any more. */
  onDropped: (handlerRun: HandlerRun) => void;
}): HandlerRuns {
  /** By run: one that runs ahead has several, of which the last is not done. */
  const byRun = new Map<string, Entries>();

  function entriesOf(key: RunKey): ReadonlyMap<HandlerRun, () => void> {
    return byRun.get(runKeyText(key)) ?? NO_ENTRIES;
  }

  /** Forgets a handler's run, and gives what resolves its `done`; undefined if it was forgotten before. */
  function remove(handlerRun: HandlerRun): (() => void) | undefined {
    const entries = byRun.get(handlerRun.runText);
    const resolve = entries?.get(handlerRun);
    entries?.delete(handlerRun);
    if (entries?.size === 0) byRun.delete(handlerRun.runText);
    return resolve;
  }

  function drop(handlerRun: HandlerRun): void {
    remove(handlerRun)?.();
    handlerRun.onTaken?.(false);
    options.onDropped(handlerRun);
  }

  return {
    begin(request, run) {
      const runText = runKeyText(request);
      const entries: Entries = byRun.get(runText) ?? new Map();
      for (const known of entries.keys()) {
        if (known.request.idempotencyKey !== request.idempotencyKey) continue;
        if (run !== undefined) known.run = run;
        return known;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const queue = queueText({ tenantId: request.tenantId, kind: "handler", name: request.workflowId });
      const handlerRun: HandlerRun = { request, runText, queue, done: promise, ...(run === undefined ? {} : { run }) };
      byRun.set(runText, entries.set(handlerRun, resolve));
      options.onBegin(handlerRun);
      return handlerRun;
    },
    finishedFor(run) {
      for (const handlerRun of entriesOf(run.state).keys()) {
        if (handlerRun.run === run && handlerRun.outcome !== undefined) return handlerRun;
      }
      return undefined;
    },
    rememberedRun(key) {
      for (const handlerRun of entriesOf(key).keys()) if (handlerRun.run !== undefined) return handlerRun.run;
      return undefined;
    },
    forgetRun(key) {
      for (const handlerRun of entriesOf(key).keys()) delete handlerRun.run;
    },
    finish(handlerRun, outcome) {
      const resolve = byRun.get(handlerRun.runText)?.get(handlerRun);
      if (resolve === undefined || handlerRun.outcome !== undefined) return;
      handlerRun.outcome = outcome;
      resolve();
      options.onDone(handlerRun.request);
    },
    taken(handlerRun) {
      if (remove(handlerRun) !== undefined) handlerRun.onTaken?.(true);
    },
    runMoved(key, run) {
      for (const handlerRun of entriesOf(key).keys()) {
        if (handlerRun.request.seq <= run.state.seq) drop(handlerRun);
        // A transition without a record: the row may have changed beside the state.
        else if (handlerRun.run !== undefined) handlerRun.run = run;
      }
    },
    abandon(key, afterSeq) {
      for (const handlerRun of entriesOf(key).keys()) if (handlerRun.request.seq > afterSeq) drop(handlerRun);
    },
  };
}
