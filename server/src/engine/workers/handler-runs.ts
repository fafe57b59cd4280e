/**
 * Handlers that this server runs for active runs of its own, without a job row: a handler computes and is safe to run
 * again, so nothing needs to be committed before its step plan. They are lost with the process; the server that claims
 * the run requests them again.
 *
 *   waiting ──offered──> offered ──result, failure──> done ──committed──> forgotten
 *      └──no worker, or none with time──> done (unserved)   └──worker gone──> done (lost)
 *
 * After (unserved) and (lost) the run is parked on a job.
 */
import type { HandlerOutcome, HandlerRequest } from "../../core/handler-request.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { runKeyText } from "../run-table.ts";
import type { HandlerRunner, PendingHandler } from "../transition/handler-runner.ts";
import { queueText } from "./job-queue.ts";

export type HandlerRun = PendingHandler & {
  readonly request: HandlerRequest;
  /** The key of its run, as `runKeyText`. */
  readonly runText: string;
  readonly queue: string;
  /** The run's head hash when the handler was requested; missing while more of the run is uncommitted. */
  askedAtHash?: string;
  /** The token under which a worker has it; missing while no worker does. */
  token?: string;
  outcome?: HandlerOutcome;
  /** Called once: whether the worker's result counts. */
  onTaken?: (counts: boolean) => void;
};

export type HandlerRuns = HandlerRunner & {
  /** Notes the outcome, and makes the run go on. */
  finish(handlerRun: HandlerRun, outcome: HandlerOutcome): void;
  /**
   * The run has changed: the outcomes of `handled` are committed. Other handlers that were requested before are of no
   * use.
   */
  runMoved(key: RunKey, run: StoredRun, handled: readonly PendingHandler[]): void;
  /**
   * Handlers for steps after `afterSeq` are of no use. The steps that they belong to were not committed, and the next
   * decision may differ although it has the same seq and so the same key. 0: the run belongs to another server or to
   * none.
   */
  abandon(key: RunKey, afterSeq: number): void;
};

/** Handlers that are not forgotten, each with the function that resolves its `done`. */
type Entries = Map<HandlerRun, () => void>;

const NO_ENTRIES: ReadonlyMap<HandlerRun, () => void> = new Map();

/** @param options.interests retained while a run has handlers (see run-cache.ts) */
export function createHandlerRuns(options: {
  interests: { retain(runText: string): void; release(runText: string): void };
  /** Looks for a worker. */
  onBegin: (handlerRun: HandlerRun) => void;
  onDone: (key: RunKey) => void;
  /** The outcome is not needed any more. */
  onDropped: (handlerRun: HandlerRun) => void;
}): HandlerRuns {
  /** By run. A run that runs ahead has several; only the last one may be unfinished. */
  const byRun = new Map<string, Entries>();

  function entriesOf(key: RunKey): ReadonlyMap<HandlerRun, () => void> {
    return byRun.get(runKeyText(key)) ?? NO_ENTRIES;
  }

  /** Forgets a handler run. Returns the function that resolves its `done`; undefined if it was forgotten before. */
  function remove(handlerRun: HandlerRun): (() => void) | undefined {
    const entries = byRun.get(handlerRun.runText);
    const resolve = entries?.get(handlerRun);
    if (entries === undefined || resolve === undefined) return undefined;
    entries.delete(handlerRun);
    if (entries.size === 0) {
      byRun.delete(handlerRun.runText);
      options.interests.release(handlerRun.runText);
    }
    return resolve;
  }

  function drop(handlerRun: HandlerRun): void {
    remove(handlerRun)?.();
    handlerRun.onTaken?.(false);
    options.onDropped(handlerRun);
  }

  return {
    runHandler(request, run) {
      const runText = runKeyText(request);
      let entries = byRun.get(runText);
      for (const known of (entries ?? NO_ENTRIES).keys()) {
        if (known.request.idempotencyKey !== request.idempotencyKey) continue;
        if (run !== undefined) known.askedAtHash = run.headHash;
        return known;
      }
      if (entries === undefined) {
        entries = new Map();
        byRun.set(runText, entries);
        options.interests.retain(runText);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const queue = queueText({ tenantId: request.tenantId, kind: "handler", name: request.workflowId });
      const handlerRun: HandlerRun = { request, runText, queue, done: promise };
      if (run !== undefined) handlerRun.askedAtHash = run.headHash;
      entries.set(handlerRun, resolve);
      options.onBegin(handlerRun);
      return handlerRun;
    },
    finishedHandler(run) {
      for (const handlerRun of entriesOf(run.state).keys()) {
        if (handlerRun.askedAtHash === run.headHash && handlerRun.outcome !== undefined) return handlerRun;
      }
      return undefined;
    },
    finish(handlerRun, outcome) {
      const resolve = byRun.get(handlerRun.runText)?.get(handlerRun);
      if (resolve === undefined || handlerRun.outcome !== undefined) return;
      handlerRun.outcome = outcome;
      resolve();
      options.onDone(handlerRun.request);
    },
    runMoved(key, run, handled) {
      for (const handlerRun of entriesOf(key).keys()) {
        if (handled.includes(handlerRun)) {
          remove(handlerRun);
          handlerRun.onTaken?.(true);
        } else if (handlerRun.request.seq <= run.state.seq) drop(handlerRun);
      }
    },
    abandon(key, afterSeq) {
      for (const handlerRun of entriesOf(key).keys()) if (handlerRun.request.seq > afterSeq) drop(handlerRun);
    },
  };
}
