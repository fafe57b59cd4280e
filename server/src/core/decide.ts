/**
 * The one dispatcher of core: `decide(run, stimulus, workflow)` returns the records and commands of a transition, or
 * the look-up or handler that it needs first. Pure: the same arguments return the same decision, on any server.
 */
import { type AdvanceStimulus, advanceRun } from "./advance-run.ts";
import { type AnswerStimulus, answerWait } from "./answer-wait.ts";
import { cancelRun, type ControlStimulus, type FailStimulus, failRun, pauseRun, unpauseRun } from "./control-run.ts";
import type { Decision, HandlerNeeded, LookUpNeeded } from "./decision.ts";
import type { Workflow } from "./graph/graph.ts";
import { type MailStimulus, readMail } from "./mail.ts";
import type { RunState } from "./run.ts";
import { type SettleStimulus, settleCalls } from "./settle-calls.ts";
import { wakeRun, type WakeStimulus } from "./wake-run.ts";

/** What may happen to an existing run; `startRun` creates one. */
export type Stimulus =
  | AdvanceStimulus
  | AnswerStimulus
  | WakeStimulus
  | ControlStimulus
  | FailStimulus
  | MailStimulus
  | SettleStimulus;

/** @throws {DomainError} the refusals of the stimulus; the run is then unchanged */
export function decide(run: RunState, stimulus: Stimulus, workflow: Workflow): Decision | LookUpNeeded | HandlerNeeded {
  switch (stimulus.type) {
    case "advance":
      return advanceRun(run, stimulus, workflow);
    case "answer":
      return answerWait(run, stimulus, workflow);
    case "wake":
      return wakeRun(run, stimulus, workflow);
    case "settle":
      return settleCalls(run, stimulus, workflow);
    case "mail":
      return readMail(run, stimulus, workflow);
    case "cancel":
      return cancelRun(run, stimulus, workflow);
    case "pause":
      return pauseRun(run, stimulus);
    case "unpause":
      return unpauseRun(run, stimulus);
    case "fail":
      return failRun(run, stimulus);
  }
}
