/** Tells the run in words. */
import type { Json, StepRecord } from "@abstractruntime/sdk";

import { oneLine } from "../support/screen.ts";
import type { CallingStep } from "./calls.ts";
import type { Marks } from "./marks.ts";
import type { Outline } from "./outline.ts";
import { counted, inBytes } from "./sections.ts";
import type { Survey } from "./survey.ts";

/** The column in which the results of the steps begin. */
const CALLS_COLUMN = 42;

/** A completed step: its calls, and their results. */
export function describeCalls(step: CallingStep): string {
  const counts = new Map<string, number>();
  for (const { tool } of step.calls) counts.set(tool, (counts.get(tool) ?? 0) + 1);
  const calls = [...counts].map(([tool, count]) => (count === 1 ? tool : `${count} × ${tool}`)).join(", ");
  const gave = gains(step);
  return oneLine(`${`${step.nodeId}: ${calls}`.padEnd(CALLS_COLUMN)} ${gave}`.trimEnd());
}

function gains({ nodeId, calls }: CallingStep): string {
  const results = calls.map(({ ends }) => ends[0]?.result);
  const failed = calls.filter(({ ends }) => ends[0]?.error !== undefined).length;
  const text = gain(
    nodeId,
    results.filter((result) => result !== undefined),
  );
  return failed === 0 ? text : `${text === "" ? "" : `${text}; `}${failed} failed`;
}

function gain(nodeId: string, results: readonly Json[]): string {
  switch (nodeId) {
    case "look": {
      const found = results as { entries?: Json[]; matches?: Json[]; truncated: boolean }[];
      return found
        .map(({ entries, matches, truncated }) => {
          const what =
            entries === undefined
              ? counted(matches?.length ?? 0, "marked line", "marked lines")
              : counted(entries.length, "file", "files");
          return truncated ? `${what} or more` : what;
        })
        .join(", ");
    }
    case "survey": {
      const [survey, marks] = results as [Survey?, Marks?];
      if (survey === undefined || marks === undefined) return "";
      const toRead = survey.rounds.reduce((sum, round) => sum + round.length, 0);
      return `${inBytes(survey.bytes)}; ${toRead} to read`;
    }
    case "read":
      return inBytes((results as { text: string }[]).reduce((sum, { text }) => sum + Buffer.byteLength(text), 0));
    case "outline":
      return counted(
        (results as Outline[]).reduce((sum, { lines }) => sum + lines, 0),
        "line",
        "lines",
      );
    case "draft":
      return `${results.length} sections`;
    case "write":
      return inBytes((results as { size: number }[]).reduce((sum, { size }) => sum + size, 0));
    default:
      return "";
  }
}

export function describeOutcome({ kind, error }: StepRecord): string {
  const how = kind.slice("run.".length);
  return oneLine(error === undefined ? `the run is ${how}` : `the run has ${how}: ${error.code}, ${error.message}`);
}
