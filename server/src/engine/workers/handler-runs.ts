/**
 * Handlers that this server runs for active runs of its own, without a job row: a handler computes and is safe to run
 * again, so nothing of it needs to be committed before its step plan is. Lost with the process; whoever claims the run
 * asks again.
 *
 *   waiting ──offered──> offered ──result, failure──> done ──committed──> forgotten
 *      └──no worker, or none with time──> done (unserved)   └──worker gone──> done (lost): the run is parked on a job
 */
import type { HandlerOutcome, HandlerRequest } from "../../core/handler-request.ts";
import type { RunKey, StoredRun } from "../../store/contract/runs.ts";
import { runKeyText } from "../run-table.ts";
import type { HandlerRunner, PendingHandler } from "../transition/handler-runner.ts";
import { queueText } from "./job-queue.ts";

export type HandlerRun = PendingHandler & {
  readonly request: HandlerRequest;
  /** Its run, as `runKeyText` has it. */
  readonly runText: string;
  readonly queue: string;
  /** The head hash of the run that the handler was asked for with; missing while more of the run is uncommitted. */
  askedAtHash?: string;
  /** Under which a worker has it; absent while none does. */
  token?: string;
  outcome?: HandlerOutcome;
  /** Told once: whether what the worker gave counts. */
  onTaken?: (counts: boolean) => void;
};

export type HandlerRuns = HandlerRunner & {
  /** Notes what came of it, and has the run go on. */
  finish(handlerRun: HandlerRun, outcome: HandlerOutcome): void;
  /**
   * The run was changed: the outcomes of `handled` are committed, and other handlers that were asked for before are of
   * no use.
   */
  runMoved(key: RunKey, run: StoredRun, handled: readonly PendingHandler[]): void;
  /**
   * Handlers for steps after `afterSeq` are of no use: what they were asked for with was not committed, and what is
   * decided next may be something else, with the same seq and so the same key. 0: the run is nobody's, or another
   * server's.
   */
  abandon(key: RunKey, afterSeq: number): void;
};

/** Those that are not forgotten, each with what resolves its `done`. */
type Entries = Map<HandlerRun, () => void>;

const NO_ENTRIES: ReadonlyMap<HandlerRun, () => void> = new Map();

/** @param options.interests told while a run has handlers, and so is of interest (see run-cache.ts) */
export function createHandlerRuns(options: {
  interests: { retain(runText: string): void; release(runText: string): void };
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

  /** Forgets a handler's run, and returns what resolves its `done`; undefined if it was forgotten before. */
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
