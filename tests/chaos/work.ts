/** What the workers do: a tool that takes its time, and fails by a rule that both its workers and the audit know. */
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { complete, goTo, handler, type Tool, tool, toolCalls, ToolError, workflow } from "@abstractruntime/sdk";
import { z } from "zod";
import type { ToolLog } from "./tool-log.ts";

const TOOL = "note";
/** The last one never fails. */
export const ATTEMPTS_MAX = 4;
export const SECOND_CALLS = 3;
/** Attempts that are not the last. */
const FAILING_SHARE = 0.2;
/**
 * How long executions take: most take almost no time, some long enough to be hit by a kill, a few until after their
 * lease is lost.
 */
const DURATIONS_MS = [
  { share: 0.6, least: 0, most: 20 },
  { share: 0.3, least: 20, most: 400 },
  { share: 0.09, least: 400, most: 1_500 },
  { share: 0.01, least: 3_000, most: 6_000 },
] as const;
const policy = { maxAttempts: ATTEMPTS_MAX, initialBackoff: "50ms", maxBackoff: "400ms" };

/** What an execution returns: which one it was. */
export type NoteOutput = { key: string; attempt: number; execution: string };

const noteOutput = z.object({ key: z.string(), attempt: z.number(), execution: z.string() });
const noted = z.object({ results: z.array(z.object({ success: z.boolean(), output: noteOutput.nullable() })) });
const vars = z.object({
  first: noted.optional(),
  chosen: z.array(z.string()).optional(),
  second: noted.optional(),
});
const output = z.object({ first: z.array(z.string()), second: z.array(z.string()) });

/** Parallel calls, a handler that reads their results, and calls again. */
function callingWorkflow(firstCalls: number) {
  return workflow(
    `chaos-${firstCalls}`,
    { vars, output },
    {
      first: toolCalls({ calls: callsOf(firstCalls) }, { resultKey: "first", next: "choose", policy }),
      choose: handler({ next: ["second"], policy }, ({ vars: { first } }, { idempotencyKey, attempt }) => {
        if (failsAt(idempotencyKey, attempt)) throw new ToolError("TRANSIENT", "not now");
        return goTo("second", { set: { chosen: (first?.results ?? []).map((result) => result.output!.execution) } });
      }),
      second: toolCalls({ calls: callsOf(SECOND_CALLS) }, { resultKey: "second", next: "done", policy }),
      done: complete({ first: "${vars.chosen}", second: "${vars.second.results.map(r, r.output.execution)}" }),
    },
  );
}

function callsOf(count: number) {
  return Array.from({ length: count }, (_, place) => ({ name: TOOL, arguments: { place } }));
}

/** By the number of their first calls. */
export const WORKFLOWS = [3, 4, 5].map((firstCalls) => ({ firstCalls, definition: callingWorkflow(firstCalls) }));

export function createNoteTool(log: ToolLog): Tool {
  return tool({ name: TOOL, input: z.object({ place: z.number() }) }, async (_args, context): Promise<NoteOutput> => {
    const { idempotencyKey: key, attempt } = context;
    const execution = randomUUID();
    const line = { key, attempt, execution, pid: process.pid };
    log.write({ event: "start", ...line, time: Date.now() });
    // It runs to its end, even if its result is not needed any more, like code that ignores its signal.
    await sleep(durationMs(execution));
    const fails = failsAt(key, attempt);
    log.write({ event: "end", ...line, time: Date.now(), outcome: fails ? "failed" : "returned" });
    if (fails) throw new ToolError("TRANSIENT", "not now");
    return { key, attempt, execution };
  });
}

/** Whether this attempt of the job fails, wherever and however often it is made. */
export function failsAt(key: string, attempt: number): boolean {
  return attempt < ATTEMPTS_MAX && drawn(`fails/${key}/${attempt}`) < FAILING_SHARE;
}

/** Drawn for every execution: a call that was slow each time would lose more leases than it may. */
function durationMs(execution: string): number {
  let left = drawn(`kind/${execution}`);
  for (const { share, least, most } of DURATIONS_MS) {
    if (left < share) return least + drawn(`duration/${execution}`) * (most - least);
    left -= share;
  }
  return 0;
}

/** From 0 to 1, the same for the same text. */
function drawn(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE() / 2 ** 32;
}
