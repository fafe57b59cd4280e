/** Formats runs, waits and notices for people. */
import { NoticeKindSchema, type Notice } from "@abstractruntime/proto/notice_pb";
import {
  BlockedReason,
  BlockedReasonSchema,
  type Run,
  RunStatus,
  RunStatusSchema,
} from "@abstractruntime/proto/run_pb";
import type { Failure } from "@abstractruntime/proto/failure_pb";
import { type Wait, WaitReason, WaitReasonSchema } from "@abstractruntime/proto/wait_pb";
import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";

import type { Json } from "../core/json/json.ts";
import {
  fieldLines,
  jsonText,
  padCell,
  safeLine,
  safeText,
  type Style,
  tableLines,
  type Terminal,
} from "./terminal.ts";
import { enumShortName } from "./values.ts";

/** An instant in UTC, to the millisecond; empty if there is none. */
export function timeText(time: Timestamp | undefined): string {
  return time === undefined ? "" : timestampDate(time).toISOString();
}

/** A Value as JSON; undefined if there is none. */
export function valueJson(value: Value | undefined): Json | undefined {
  return value === undefined ? undefined : toJson(ValueSchema, value);
}

/** The status of a run, with remarks: `completed`, `waiting (user)`, `running (no_worker)`, `waiting (user,
 *  paused)`. */
export function statusText(run: Run): string {
  const remarks = [
    ...(run.waiting === undefined ? [] : [enumShortName(WaitReasonSchema, run.waiting.reason)]),
    ...(run.blockedReason === BlockedReason.UNSPECIFIED ? [] : [enumShortName(BlockedReasonSchema, run.blockedReason)]),
    ...(run.paused ? ["paused"] : []),
  ];
  const status = enumShortName(RunStatusSchema, run.status);
  return remarks.length === 0 ? status : `${status} (${remarks.join(", ")})`;
}

const STATUS_STYLES: ReadonlyMap<number, Style> = new Map([
  [RunStatus.RUNNING, "cyan"],
  [RunStatus.WAITING, "yellow"],
  [RunStatus.COMPLETED, "green"],
  [RunStatus.FAILED, "red"],
]);

export function statusStyle(status: RunStatus): Style {
  return STATUS_STYLES.get(status) ?? "dim";
}

/** Whether a run has ended. */
export function hasEnded(run: Run): boolean {
  return run.status === RunStatus.COMPLETED || run.status === RunStatus.FAILED || run.status === RunStatus.CANCELLED;
}

function indentedJson(value: Json): string {
  return safeText(jsonText(value, 2));
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => safeLine(`${name}=${value}`))
    .join(" ");
}

export function failureText(failure: Failure): string {
  const where =
    failure.nodeId === ""
      ? ""
      : ` (node ${failure.nodeId}${failure.attempt > 1 ? `, attempt ${failure.attempt}` : ""})`;
  return `${failure.code}: ${failure.message}${where}`;
}

/** Everything about a run, one field per line; vars and output if the reply has them. */
export function runLines(terminal: Terminal, run: Run): string[] {
  const output = valueJson(run.output);
  const fields: [string, string | undefined][] = [
    ["run", terminal.style("bold", safeLine(run.runId))],
    ["workflow", `${safeLine(run.workflowId)} version ${run.version}`],
    ["status", terminal.style(statusStyle(run.status), statusText(run))],
    ["node", safeLine(run.currentNode)],
    ["session", safeLine(run.sessionId)],
    ["actor", safeLine(run.actorId)],
    ["parent", safeLine(run.parentRunId)],
    ["labels", labelsText(run.labels)],
    ["records", String(run.seq)],
    ["created", timeText(run.createTime)],
    ["updated", timeText(run.updateTime)],
    ["ended", timeText(run.endTime)],
    ["waiting", run.waiting && waitLines(terminal, run.waiting, false).join("\n")],
    ["error", run.error && safeText(failureText(run.error))],
    ["vars", run.vars && indentedJson(run.vars)],
    ["output", output === undefined ? undefined : indentedJson(output)],
  ];
  return fieldLines(terminal, present(fields));
}

/** The fields that have a value. */
export function present(fields: readonly (readonly [string, string | undefined])[]): [string, string][] {
  return fields.flatMap(([name, value]): [string, string][] =>
    value === undefined || value === "" ? [] : [[name, value]],
  );
}

export function runTable(terminal: Terminal, runs: readonly Run[]): string[] {
  const rows = runs.map((run) => [
    run.runId,
    `${run.workflowId}@${run.version}`,
    { text: statusText(run), style: statusStyle(run.status) },
    run.currentNode,
    timeText(run.createTime),
    timeText(run.updateTime),
  ]);
  return tableLines(terminal, ["RUN", "WORKFLOW", "STATUS", "NODE", "CREATED", "UPDATED"], rows);
}

/** Everything about a wait; with `withRun` also its run. */
export function waitLines(terminal: Terminal, wait: Wait, withRun: boolean): string[] {
  const details = valueJson(wait.details);
  const choices = choicesOf(wait);
  const fields: [string, string | undefined][] = [
    ["for", enumShortName(WaitReasonSchema, wait.reason)],
    ["prompt", terminal.style("bold", safeText(wait.prompt))],
    ["details", details === undefined ? undefined : indentedJson(details)],
    ["choices", choices?.map((choice) => safeLine(choiceText(choice))).join(" | ")],
    ["events", wait.names.map(safeLine).join(" or ")],
    ["key", safeLine(wait.key)],
    ["assignees", wait.assignees.map(safeLine).join(", ")],
    ["due", timeText(wait.dueTime)],
    ["since", timeText(wait.createTime)],
    ["run", withRun ? `${safeLine(wait.runId)} (${safeLine(wait.workflowId)})` : undefined],
    ["wait id", safeLine(wait.waitId)],
  ];
  return fieldLines(terminal, present(fields));
}

/** The choices of a wait; undefined if any answer is allowed. */
export function choicesOf(wait: Wait): Json[] | undefined {
  const choices = valueJson(wait.choices);
  return Array.isArray(choices) ? choices : undefined;
}

/** The text of a choice, as people see and type it: a string as it is, anything else as JSON. */
export function choiceText(choice: Json): string {
  return typeof choice === "string" ? choice : JSON.stringify(choice);
}

export function waitTable(terminal: Terminal, waits: readonly Wait[]): string[] {
  const rows = waits.map((wait) => [
    wait.runId,
    wait.workflowId,
    wait.nodeId,
    wait.assignees.join(","),
    timeText(wait.dueTime),
    waitSummary(wait),
  ]);
  return tableLines(terminal, ["RUN", "WORKFLOW", "NODE", "ASSIGNEES", "DUE", "PROMPT"], rows);
}

/** A wait in a few words, on one line. */
export function waitSummary(wait: Wait): string {
  switch (wait.reason) {
    case WaitReason.EVENT:
      return `event ${wait.names.join(" or ")}${wait.key === "" ? "" : ` with key ${wait.key}`}`;
    case WaitReason.UNTIL:
      return `until ${timeText(wait.dueTime)}`;
    default: {
      const choices = choicesOf(wait);
      return choices === undefined ? wait.prompt : `${wait.prompt} [${choices.map(choiceText).join(" | ")}]`;
    }
  }
}

/** Columns of a notice's kind; the longest is `completed`. */
const NOTICE_KIND_WIDTH = 9;

/** A notice on one line: when the run last changed, what happened, which run, and its status now. */
export function noticeLine(terminal: Terminal, notice: Notice): string {
  const { run } = notice;
  const kind = padCell(enumShortName(NoticeKindSchema, notice.kind), NOTICE_KIND_WIDTH);
  if (run === undefined) return kind;
  const wait = run.waiting === undefined ? "" : `  ${safeLine(waitSummary(run.waiting))}`;
  const error = run.error === undefined || !hasEnded(run) ? "" : `  ${safeLine(failureText(run.error))}`;
  const now = terminal.style(statusStyle(run.status), statusText(run));
  return `${timeText(run.updateTime)}  ${kind}  ${safeLine(run.runId)}  ${safeLine(run.workflowId)}@${run.version}  ${now}${wait}${error}`;
}
