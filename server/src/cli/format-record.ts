/** Formats the records of a ledger for people, one line each. */
import { type PatchOp, PatchOpKind, PatchOpKindSchema, type StepRecord } from "@abstractruntime/proto/step_record_pb";

import { failureText, timeText, valueJson, waitSummary } from "./format-run.ts";
import { jsonText, padCell, safeLine, shortened, type Style, type Terminal } from "./terminal.ts";

/** How much of a record's details a line shows; --json shows everything. */
const DETAIL_CHARS_MAX = 200;
const SEQ_WIDTH = 5;
/** The longest kind so far is `run.cancel_requested`. */
const KIND_WIDTH = 20;
const NODE_WIDTH = 16;

/** A record on one line: number, time, kind, node, and details. */
export function recordLine(terminal: Terminal, record: StepRecord): string {
  const kind = padCell(safeLine(record.kind), KIND_WIDTH);
  const style = kindStyle(record.kind);
  return [
    String(record.seq).padStart(SEQ_WIDTH),
    timeText(record.time),
    style === undefined ? kind : terminal.style(style, kind),
    padCell(safeLine(record.nodeId), NODE_WIDTH),
    shortened(safeLine(recordDetail(record)), DETAIL_CHARS_MAX),
  ]
    .join("  ")
    .trimEnd();
}

function kindStyle(kind: string): Style | undefined {
  if (kind.endsWith(".failed")) return "red";
  if (kind.endsWith(".waiting")) return "yellow";
  if (kind === "run.completed") return "green";
  return undefined;
}

/** The details of a record, the most important first. */
function recordDetail(record: StepRecord): string {
  const result = valueJson(record.result);
  const output = valueJson(record.output);
  const parts = [
    ...(record.attempt > 1 ? [`attempt ${record.attempt}`] : []),
    ...(record.error === undefined ? [] : [failureText(record.error)]),
    ...(record.wait === undefined ? [] : [waitSummary(record.wait)]),
    ...(record.effect === undefined || record.wait !== undefined ? [] : [record.effect.type]),
    ...(record.actorId === "" ? [] : [`by ${record.actorId}`]),
    ...(record.reason === "" ? [] : [record.reason]),
    ...(output === undefined ? [] : [`output ${jsonText(output)}`]),
    ...(result === undefined ? [] : [`result ${jsonText(result)}`]),
    ...(record.patch.length === 0 ? [] : [`vars: ${record.patch.map(patchText).join(", ")}`]),
    ...(record.nextNode === "" ? [] : [`-> ${record.nextNode}`]),
  ];
  return parts.join("; ");
}

function patchText({ op, path }: PatchOp): string {
  const verb = PatchOpKindSchema.value[op]?.name.slice("PATCH_OP_KIND_".length).toLowerCase() ?? "change";
  return `${op === PatchOpKind.UNSPECIFIED ? "change" : verb} ${path === "" ? "all" : path}`;
}
