/** How it is shown to people why a run stands where it stands. */
import { ScopeSchema } from "@abstractruntime/proto/event_pb";
import {
  type ChannelStanding,
  JobStateSchema,
  LeaseState,
  type OpenJob,
  type RunExplanation,
  type RunMail,
  type RunOwner,
} from "@abstractruntime/proto/run_explanation_pb";
import { JobKindSchema } from "@abstractruntime/proto/worker_service_pb";
import { durationMs } from "@bufbuild/protobuf/wkt";

import { failureText, hasEnded, present, statusStyle, statusText, timeText, waitSummary } from "./format-run.ts";
import { fieldLines, safeLine, tableLines, type Terminal } from "./terminal.ts";
import { enumShortName } from "./values.ts";

/** What would move the run next comes first; then what it stands on, one field a line; then its open jobs. */
export function explanationLines(terminal: Terminal, explanation: RunExplanation): string[] {
  const { run, next, owner, mail, mailTotal, channel, jobCounts, openJobs } = explanation;
  const ended = run !== undefined && hasEnded(run);
  const fields: [string, string | undefined][] = [
    ["next", next && terminal.style("bold", safeLine(next.message))],
    ["run", run && `${safeLine(run.runId)} (${safeLine(run.workflowId)} version ${run.version})`],
    ["status", run && terminal.style(statusStyle(run.status), statusText(run))],
    ["node", run && safeLine(run.currentNode)],
    ["error", run?.error && safeLine(failureText(run.error))],
    ["owner", owner === undefined ? `none: the run ${ended ? "has ended" : "is parked"}` : ownerText(owner)],
    ["records", run && recordsText(run.seq, explanation.rowRecordsBehind)],
    ["mail", mailText(mail, mailTotal)],
    ["wakes", timeText(explanation.wakeTime) || "not by itself"],
    ["waiting", run?.waiting && `${safeLine(waitSummary(run.waiting))} (wait ${safeLine(run.waiting.waitId)})`],
    ["channel", channel && channelText(channel)],
    [
      "jobs",
      jobCounts.map(({ state, count }) => `${count} ${enumShortName(JobStateSchema, state)}`).join(", ") || "none",
    ],
    ["read at", timeText(explanation.readTime)],
  ];
  const lines = fieldLines(terminal, present(fields));
  if (openJobs.length === 0) return lines;
  return [
    ...lines,
    "",
    ...tableLines(terminal, ["JOB", "STATE", "ATTEMPT", "DUE", "WORKER", "WHY"], openJobs.map(jobCells)),
  ];
}

function ownerText({ serverId, process, laneId, lease, sinceRenewal }: RunOwner): string {
  const server = `server ${safeLine(serverId) || "unknown"}, lane ${laneId}`;
  const where = process === "" ? "" : ` (${safeLine(process)})`;
  if (lease === LeaseState.ENDED) return `${server}: its lease has ended${where}`;
  const whose = lease === LeaseState.OWN ? ", the server that answers" : "";
  const renewed = sinceRenewal && `renewed ${(durationMs(sinceRenewal) / 1_000).toFixed(1)} s ago, as seen from here`;
  return `${server}${whose}: lease ${renewed ?? "not seen yet"}${where}`;
}

function recordsText(seq: number, rowRecordsBehind: number): string {
  return rowRecordsBehind === 0 ? String(seq) : `${seq}, of which its row does not have ${rowRecordsBehind} yet`;
}

function mailText(mail: readonly RunMail[], total: number): string {
  if (total === 0) return "none";
  const letters = mail.map(({ kind, createTime }) => `${safeLine(kind)} (${timeText(createTime)})`);
  const more = total > mail.length ? [`${total - mail.length} more`] : [];
  return [...letters, ...more].join(", ");
}

function channelText({ scope, scopeId, lastNumber, lookedNumber, startNumber }: ChannelStanding): string {
  const name = [enumShortName(ScopeSchema, scope), ...(scopeId === "" ? [] : [safeLine(scopeId)])].join(" ");
  return `${name}: last event ${lastNumber}, looked up to ${lookedNumber}, run started after ${startNumber}`;
}

function jobCells({ kind, name, state, attempt, dueTime, lease, reason }: OpenJob): string[] {
  return [
    `${enumShortName(JobKindSchema, kind)} ${name}`,
    enumShortName(JobStateSchema, state),
    String(attempt),
    timeText(dueTime),
    lease?.workerSessionId ?? "",
    reason?.message ?? "",
  ];
}
