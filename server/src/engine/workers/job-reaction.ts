/** What a change of a run means for the worker side: its jobs and its handlers. */
import { isOpen } from "../../core/call.ts";
import type { JobDraft } from "../../core/job.ts";
import { addMs } from "../../core/duration.ts";
import { type RunState, callsOf } from "../../core/run.ts";
import type { Clock } from "../clock.ts";
import type { DueTimer } from "../due-timer.ts";
import type { Reaction } from "../reactions.ts";
import type { Dispatcher } from "./dispatch/dispatcher.ts";
import type { HandlerRuns } from "./handler-runs.ts";
import { queueText } from "./job-queue.ts";

export function createJobReaction(parts: {
  dispatcher: Dispatcher;
  handlerRuns: HandlerRuns;
  /** Armed with the times at which jobs are due. */
  timers: DueTimer;
  clock: Clock;
}): Reaction {
  const { dispatcher, handlerRuns, timers, clock } = parts;

  /** The jobs of a run that was paused are in their queues again. */
  function noteCalls(run: RunState): void {
    const { tenantId } = run;
    const queues = new Set<string>();
    for (const { kind, name, retry_time: retryTime } of callsOf(run).filter(isOpen)) {
      queues.add(queueText({ tenantId, kind, name }));
      if (retryTime !== undefined) timers.arm(retryTime);
    }
    for (const queue of queues) dispatcher.noteJobs(queue);
  }

  function armJobTimer({ dueTime, queueTimeoutMs }: JobDraft): void {
    if (dueTime !== undefined) timers.arm(dueTime);
    else if (queueTimeoutMs !== undefined) timers.arm(addMs(clock.now(), queueTimeoutMs));
  }

  return {
    reserve({ commands, after }) {
      const drafts: JobDraft[] = [];
      for (const command of commands) if (command.type === "create_jobs") drafts.push(...command.jobs);
      return drafts.length === 0 ? undefined : dispatcher.reserve(drafts, after);
    },
    committed({ key, run, plan }) {
      handlerRuns.runMoved(key, run, plan.handled);
      for (const command of plan.commands) {
        if (command.type === "settle_jobs") {
          for (const { retry } of command.settlements) if (retry !== undefined) timers.arm(retry.dueTime);
        } else if (command.type === "create_jobs") {
          for (const job of command.jobs) armJobTimer(job);
        } else if (command.type === "hold_jobs" && !command.held) {
          noteCalls(run.state);
        }
      }
    },
    // The step after the stored state is the same whichever server decides it; steps decided ahead of that are not.
    refused: (key, storedSeq) => handlerRuns.abandon(key, storedSeq + 1),
  };
}
