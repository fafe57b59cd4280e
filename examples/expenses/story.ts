/** Tells one run's ledger in words. */
import type { StepRecord } from "@abstractruntime/proto/step_record_pb";
import { WaitReason } from "@abstractruntime/proto/wait_pb";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { secondsBetween } from "../support/timeline.ts";
import { valueOf } from "../support/values.ts";
import type { Crash } from "./crashes.ts";
import type { CheckedRun } from "./ledgers.ts";

export type StoryLine = { at: string; text: string; crash: boolean };

/** Longer stories repeat themselves. */
const SENTENCES_MAX = 16;

/** Picks the most interesting run: it survived the crashes, was reminded, or waited for someone. */
export function mostEventful(runs: readonly CheckedRun[], crashes: readonly Crash[]): CheckedRun | undefined {
  const score = (run: CheckedRun) => {
    const sentences = tell(run).length;
    return sentences > SENTENCES_MAX ? 0 : SENTENCES_MAX * crashesWithin(run, crashes).length + sentences;
  };
  return runs.toSorted((a, b) => score(b) - score(a))[0];
}

/** The lines of a run's story, including the crashes that it survived. Times are relative to `startTime`. */
export function storyOf(run: CheckedRun, crashes: readonly Crash[], startTime: Date): StoryLine[] {
  const lines = [
    ...tell(run).map((line) => ({ ...line, crash: false })),
    ...crashesWithin(run, crashes).map(({ time }) => ({ time, text: "server and database are killed", crash: true })),
  ];
  return lines
    .toSorted((a, b) => a.time.getTime() - b.time.getTime())
    .map(({ time, text, crash }) => ({ at: secondsBetween(startTime, time), text, crash }));
}

function crashesWithin({ records }: CheckedRun, crashes: readonly Crash[]): Crash[] {
  const [first] = records;
  const last = records.at(-1);
  if (first === undefined || last === undefined) return [];
  return crashes.filter(({ time }) => time > timeOf(first) && time < timeOf(last));
}

function timeOf({ time }: StepRecord): Date {
  return time === undefined ? new Date(0) : timestampDate(time);
}

function tell(run: CheckedRun): { time: Date; text: string }[] {
  let hasAsked = false;
  return run.records.flatMap((record) => {
    const again = hasAsked && record.wait?.reason === WaitReason.USER;
    hasAsked ||= record.wait?.reason === WaitReason.USER;
    const text = again ? "asks again" : sentence(record, run);
    return text === undefined ? [] : [{ time: timeOf(record), text }];
  });
}

/** Undefined for steps that only compute. */
function sentence(record: StepRecord, { outcome }: CheckedRun): string | undefined {
  const { kind, wait, effect, result } = record;
  if (kind === "run.started") return "the run starts";
  if (kind === "run.completed") return `the run ends: ${outcome?.outcome}, ${outcome?.reason}`;
  if (kind.endsWith("failed")) return `failed: ${record.error?.message}`;
  if (wait?.reason === WaitReason.USER) return `asks ${wait.assignees.join(" or ")}: "${wait.prompt}"`;
  if (wait?.reason === WaitReason.EVENT) return "waits for the manager's event";
  if (wait?.reason === WaitReason.UNTIL) return record.nodeId === "payday" ? "waits for payday" : "cools off";
  if (effect?.type === "answer_user") return (valueOf(result) as { message: string }).message;
  if (effect?.type === "emit_event" || result === undefined) return undefined;
  return resultSentence(record);
}

function resultSentence({ result }: StepRecord): string | undefined {
  const value = valueOf(result) as Record<string, unknown>;
  if (value["timed_out"] === true) return "nobody answers in time";
  if ("answered_by" in value) return `${String(value["answered_by"])} answers: ${String(value["answer"])}`;
  if (!("event_id" in value)) return undefined;
  const { approved, reason } = value["payload"] as { approved: boolean; reason: string };
  return `takes the manager's event: ${approved ? "approved" : "refused"}, ${reason}`;
}
