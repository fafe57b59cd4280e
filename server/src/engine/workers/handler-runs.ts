/**
 * Handlers that this server runs for active runs of its own, without a job row: a handler computes and is safe to run again, so
 * nothing of it needs to be committed before its step plan is. Lost with the process; whoever claims the run asks again.
 *
 *   waiting ──offered──> offered ──result, failure──> done ──committed──> forgotten
 *      └──nobody serves it, or nobody has time──> done (unserved)   └──worker gone──> done (lost): the run is parked on a job
 */
import type { HandlerRequest } from "../../core/decision.ts";
import type { RunState } from "../../core/run.ts";
import type { HandlerOutcome } from "../../core/run-handler.ts";
import type { RunKey, StoredRun } from "../../store/contract.ts";
import { runKeyText } from "../run-table.ts";
import { queueText } from "./session.ts";

export type HandlerRun = {
  readonly request: HandlerRequest;
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
  get(key: RunKey): HandlerRun | undefined;
  /** Notes what came of it, and has the run go on. */
  finish(handlerRun: HandlerRun, outcome: HandlerOutcome): void;
  /** The outcome is committed. */
  taken(handlerRun: HandlerRun): void;
  /** The run was changed: a handler that was asked for before is of no use any more. */
  runMoved(key: RunKey, state: RunState): void;
  /** The run is nobody's, or another server's. */
  abandon(key: RunKey): void;
};

export function createHandlerRuns(options: {
  /** Looks for a worker. */
  onBegin: (handlerRun: HandlerRun) => void;
  onDone: (key: RunKey) => void;
  /** Nobody wants the outcome any more. */
  onDropped: (handlerRun: HandlerRun) => void;
}): HandlerRuns {
  const byRun = new Map<string, { handlerRun: HandlerRun; resolve: () => void }>();

  function drop(text: string): void {
    const entry = byRun.get(text);
    if (entry === undefined) return;
    byRun.delete(text);
    entry.resolve();
    entry.handlerRun.onTaken?.(false);
    options.onDropped(entry.handlerRun);
  }

  return {
    begin(request, run) {
      const text = runKeyText(request);
      const known = byRun.get(text)?.handlerRun;
      if (known !== undefined && known.request.idempotencyKey === request.idempotencyKey) {
        if (run !== undefined) known.run = run;
        return known;
      }
      drop(text);
      const { promise, resolve } = Promise.withResolvers<void>();
      const queue = queueText({ tenantId: request.tenantId, kind: "handler", name: request.workflowId });
      const handlerRun: HandlerRun = {
        request,
        queue,
        done: promise,
        ...(run === undefined ? {} : { run }),
      };
      byRun.set(text, { handlerRun, resolve });
      options.onBegin(handlerRun);
      return handlerRun;
    },
    get: (key) => byRun.get(runKeyText(key))?.handlerRun,
    finish(handlerRun, outcome) {
      const entry = byRun.get(runKeyText(handlerRun.request));
      if (entry?.handlerRun !== handlerRun || handlerRun.outcome !== undefined) return;
      handlerRun.outcome = outcome;
      entry.resolve();
      options.onDone(handlerRun.request);
    },
    taken(handlerRun) {
      const text = runKeyText(handlerRun.request);
      if (byRun.get(text)?.handlerRun !== handlerRun) return;
      byRun.delete(text);
      handlerRun.onTaken?.(true);
    },
    runMoved(key, state) {
      const text = runKeyText(key);
      const handlerRun = byRun.get(text)?.handlerRun;
      if (handlerRun !== undefined && handlerRun.request.seq <= state.seq) drop(text);
    },
    abandon: (key) => drop(runKeyText(key)),
  };
}
