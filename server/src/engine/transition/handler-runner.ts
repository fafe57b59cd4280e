import type { HandlerOutcome, HandlerRequest } from "../../core/handler-request.ts";
import type { StoredRun } from "../../store/contract/runs.ts";

/** A handler that has been requested. */
export type PendingHandler = {
  /** Present while a worker has it. */
  readonly token?: string;
  readonly outcome?: HandlerOutcome;
  /** Resolves when there is an outcome, or when the run has moved on without it. */
  readonly done: Promise<void>;
};

/** Runs the handlers that decisions request. */
export type HandlerRunner = {
  /**
   * Starts the handler of a run's step, unless it is under way; `run` is missing while more of the run is uncommitted.
   */
  runHandler(request: HandlerRequest, run?: StoredRun): PendingHandler;
  /** The handler that was requested for exactly this state of the run, if it has an outcome. */
  finishedHandler(run: StoredRun): PendingHandler | undefined;
};
