import type { HandlerOutcome, HandlerRequest } from "../../core/handler-request.ts";
import type { StoredRun } from "../../store/contract/runs.ts";

/** A handler that somebody was asked to run. */
export type PendingHandler = {
  /** Present while a worker has it. */
  readonly token?: string;
  readonly outcome?: HandlerOutcome;
  /** Resolves when there is an outcome, or the run has gone another way. */
  readonly done: Promise<void>;
};

/** Who runs the handlers that decisions ask for. */
export type HandlerRunner = {
  /**
   * Has the handler of a run's step run, unless it is under way; `run` is missing while more of the run is uncommitted.
   */
  runHandler(request: HandlerRequest, run?: StoredRun): PendingHandler;
  /** The handler that was asked for with this very run, if it has an outcome. */
  finishedHandler(run: StoredRun): PendingHandler | undefined;
};
