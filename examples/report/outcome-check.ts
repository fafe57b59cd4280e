/** Checks the run's ledger against what the demo saw, what its tools logged, and the report on disk. */
import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";

import { RunStatus, RunStatusSchema } from "@abstractruntime/proto/run_pb";
import type { StepRecord } from "@abstractruntime/sdk";

import type { Check } from "../support/checks.ts";
import type { VerifiedRun } from "../support/ledger-check.ts";
import { valueOf } from "../support/values.ts";
import { type Call, type CallingStep, callsInFlight } from "./calls.ts";
import type { Kill } from "./crashes.ts";
import { countMarks, type SearchResult } from "./marks.ts";
import { outlineText } from "./outline.ts";
import { counted, draftSection, type SectionFacts } from "./sections.ts";
import { type FileList, surveyFiles } from "./survey.ts";

/** The output of report.yaml. */
type Output = { written: boolean; report: { path: string; size: number } | null };

/** What the watch reported about the run, and the kills in the meantime. */
export type Observed = {
  records: readonly StepRecord[];
  steps: readonly CallingStep[];
  strays: readonly string[];
  kills: readonly Kill[];
};

export async function listChecks(known: {
  verified: VerifiedRun;
  observed: Observed;
  callsLog: string;
}): Promise<{ checks: Check[]; reportFile: string | undefined }> {
  const { verified, observed, callsLog } = known;
  const { run, records, problems } = verified;
  const output = run.output === undefined ? undefined : (valueOf(run.output) as Output);
  const reportFile = output?.report?.path;
  const calls = observed.steps.flatMap((step) => step.calls);
  const recomputed = calls.filter(({ tool }) => COMPUTE.has(tool));
  const began = await readCallsLog(callsLog);
  const again = [...began.values()].filter((times) => times.length > 1).length;
  const ended = RunStatusSchema.value[run.status]?.name.replace("RUN_STATUS_", "").toLowerCase();
  const failure = run.error === undefined ? "" : `: ${run.error.code}, ${run.error.message}`;
  const checks: Check[] = [
    {
      name: "the run completed",
      problems: run.status === RunStatus.COMPLETED ? [] : [`it is ${ended}${failure}`],
    },
    {
      name: `worker, server and database were killed while ${inFlightOf(observed).join(" and ")} calls were in flight`,
      problems: killProblems(observed),
    },
    { name: `the ledger's ${records.length} records are gapless, chained, and fold to the run's state`, problems },
    {
      name: "the watch reported each of them once, in order, across the server's death",
      problems: isDeepStrictEqual(
        observed.records.map(({ hash }) => hash),
        records.map(({ hash }) => hash),
      )
        ? []
        : [`it reported ${observed.records.length} records: ${observed.records.map(({ seq }) => seq).join(", ")}`],
    },
    {
      name: `each of ${calls.length} calls has exactly one end`,
      problems: [...observed.strays, ...endProblems(calls)],
    },
    {
      name: `${counted(again, "call", "calls")} ran again because their worker had died; none did after its end was recorded`,
      problems: againProblems(calls, began),
    },
    {
      name: `each of ${recomputed.length} results of the demo's own tools matches its recorded arguments`,
      problems: recomputed.flatMap(recomputeProblems),
    },
    {
      name:
        reportFile === undefined
          ? "the report was discarded, and none was written"
          : "the report is, byte for byte, what was drafted, shown to the person, and passed to the write call",
      problems: await reportProblems(observed, output),
    },
  ];
  return { checks, reportFile };
}

function inFlightAt({ steps }: Observed, { time }: Kill): Call[] {
  const step = steps.findLast((candidate) => candidate.time <= time);
  return step === undefined ? [] : callsInFlight(step, time);
}

function inFlightOf(observed: Observed): number[] {
  return observed.kills.map((kill) => inFlightAt(observed, kill).length);
}

function killProblems(observed: Observed): string[] {
  const missed = observed.kills.filter((kill) => inFlightAt(observed, kill).length === 0);
  return [
    ...missed.map(({ victim }) => `no call was in flight when the ${victim} was killed`),
    ...(["worker", "server"] as const)
      .filter((victim) => observed.kills.filter((kill) => kill.victim === victim).length !== 1)
      .map((victim) => `the ${victim} was not killed exactly once`),
  ];
}

function endProblems(calls: readonly Call[]): string[] {
  const keys = new Set<string>();
  return calls.flatMap(({ tool, callId, ends }) => {
    const [end] = ends;
    if (end === undefined || ends.length > 1) return [`${tool} ${callId} has ${ends.length} ends`];
    if (end.key === "" || keys.has(end.key)) return [`${tool} ${callId} has no idempotency key of its own`];
    keys.add(end.key);
    return [];
  });
}

/** When each call began to run, by its idempotency key. */
async function readCallsLog(file: string): Promise<Map<string, Date[]>> {
  const began = new Map<string, Date[]>();
  const text = await readFile(file, "utf8").catch(() => "");
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const { time, key } = JSON.parse(line) as { time: string; key: string };
    began.set(key, [...(began.get(key) ?? []), new Date(time)]);
  }
  return began;
}

function againProblems(calls: readonly Call[], began: ReadonlyMap<string, readonly Date[]>): string[] {
  const own = calls.filter(({ tool }) => COMPUTE.has(tool));
  return own.flatMap(({ tool, callId, ends }) => {
    const [end] = ends;
    const times = began.get(end?.key ?? "") ?? [];
    if (times.length === 0) return [`${tool} ${callId} has an end, but never ran`];
    return times.some((time) => end !== undefined && time.getTime() > end.time.getTime() + CLOCKS_APART_MS_MAX)
      ? [`${tool} ${callId} ran again after its end`]
      : [];
  });
}

/** Records have the database's time, the log has the worker's: on one machine they differ by some hundredths of a
 *  second. A call that is offered again starts later than that. */
const CLOCKS_APART_MS_MAX = 500;

/** The demo's tools that only compute. */
const COMPUTE: ReadonlyMap<string, (args: never) => unknown> = new Map<string, (args: never) => unknown>([
  [
    "survey_files",
    (args: { list: FileList; files_max: number; bytes_per_file: number }) =>
      surveyFiles(args.list, { filesMax: args.files_max, bytesPerFile: args.bytes_per_file }),
  ],
  ["count_marks", ({ search }: { search: SearchResult | null }) => countMarks(search)],
  ["outline_text", outlineText],
  ["draft_section", (facts: SectionFacts) => ({ text: draftSection(facts) })],
]);

function recomputeProblems({ tool, callId, arguments: args, ends }: Call): string[] {
  const recorded = ends[0]?.result;
  return isDeepStrictEqual(COMPUTE.get(tool)?.(args as never), recorded)
    ? []
    : [`${tool} ${callId} returned something else: ${JSON.stringify(recorded ?? ends[0]?.error)}`];
}

async function reportProblems({ records, steps }: Observed, output: Output | undefined): Promise<string[]> {
  const draft = steps.find(({ nodeId }) => nodeId === "draft");
  const write = steps.find(({ nodeId }) => nodeId === "write");
  if (!output?.report) return write === undefined ? [] : ["it was written"];
  const drafted = (draft?.calls ?? []).map(({ ends }) => (ends[0]?.result as { text: string } | undefined)?.text);
  const shown = records.find(({ wait }) => wait?.reason === "user")?.wait?.details as { report: string } | undefined;
  const content = write?.calls[0]?.arguments["content"];
  const file = await readFile(output.report.path, "utf8").catch((error: unknown) => String(error));
  const problems: string[] = [];
  if (file !== content) problems.push(`${output.report.path} differs from the write call`);
  if (shown?.report !== content) problems.push("the person was shown something else");
  if (typeof content !== "string" || !content.endsWith(`\n\n${drafted.join("\n")}`))
    problems.push("it differs from the draft");
  return problems;
}
