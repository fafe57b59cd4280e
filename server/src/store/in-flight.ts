/**
 * What is in flight, as a run's row has it. A settlement rewrites the row, so the row says only which calls have
 * settled: what a settlement writes must not grow with the number of calls that settled before it.
 *
 * - An outcome is a part of its own, written once. An output is already in its record; the part says in which record.
 * - The calls themselves are a part, written once; so is each further attempt. A few calls stay in the row, which costs
 *   less than parts that are written and soon dropped.
 */
import { type Call, type CallOutcome, isOpen } from "../core/call.ts";
import { callsOf, type InFlight, type RunState } from "../core/run.ts";
import type { PartChanges, StoredParts } from "./part.ts";

/** The most calls that stay in the row. Tools are mostly called one at a time. */
const CALLS_INLINE_MAX = 4;

type CallsInFlight = Extract<InFlight, { at: "calls" }>;

export type StoredInFlight =
  | Exclude<InFlight, CallsInFlight>
  | (Omit<CallsInFlight, "calls"> & {
      /** Without outcomes; "apart" if they are a part. */
      calls: readonly Call[] | "apart";
      /** One bit for each call, starting at the lowest bit of the first byte: whether it has settled. Base64. */
      settled: string;
    });

type Attempt = Pick<Call, "attempt" | "retry_time">;

/** Returns what is in flight, without what is kept in parts. */
export function inFlightToRow(inFlight: InFlight): StoredInFlight {
  if (inFlight.at !== "calls") return inFlight;
  const { calls, ...rest } = inFlight;
  return { ...rest, calls: isApart(calls) ? "apart" : calls.map(withoutOutcome), settled: settledBits(calls) };
}

/**
 * Rebuilds what is in flight from the row and its parts.
 * @param parts without outcomes for a run that is read without payloads: the output of settled calls is then null
 */
export function inFlightFromRow(stored: StoredInFlight, parts: StoredParts): InFlight {
  if (stored.at !== "calls") return stored;
  const { calls: kept, settled, ...rest } = stored;
  const calls = kept === "apart" ? ((parts.get("calls")?.get("") ?? []) as unknown as Call[]) : kept;
  const bits = Buffer.from(settled, "base64");
  const attempts = parts.get("attempt");
  const outcomes = parts.get("outcome");
  return {
    ...rest,
    calls: calls.map((call, ordinal): Call => {
      const name = String(ordinal);
      const attempt = attempts?.get(name) as unknown as Attempt | undefined;
      const latest = attempt === undefined ? call : { ...call, ...attempt };
      if (((bits[ordinal >> 3] ?? 0) & (1 << (ordinal & 7))) === 0) return latest;
      const { retry_time: _retryTime, ...ended } = latest;
      return { ...ended, outcome: (outcomes?.get(name) as CallOutcome | undefined) ?? { output: null, seq: 0 } };
    }),
  };
}

/** Adds how parts change with the calls in flight. @param before the state that the row has */
export function addCallChanges(before: Pick<RunState, "inFlight">, after: RunState, changes: PartChanges): void {
  const stored = callsOf(before);
  const calls = callsOf(after);
  const isSameEffect = stored.length > 0 && stored[0]!.idempotency_key === calls[0]?.idempotency_key;
  if (stored.length > 0 && !isSameEffect) {
    if (isApart(stored)) changes.dropAll.push("calls", "attempt");
    if (stored.some((call) => !isOpen(call))) changes.dropAll.push("outcome");
  }
  if (isApart(calls) && !isSameEffect) {
    const text = JSON.stringify(
      calls.map(({ attempt: _attempt, retry_time: _retryTime, ...call }) => withoutOutcome(call)),
    );
    changes.set.push({ part: "calls", name: "", text });
  }
  for (const [ordinal, call] of calls.entries()) {
    const known = isSameEffect ? stored[ordinal] : undefined;
    if (call === known) continue;
    const { attempt, retry_time, outcome } = call;
    const name = String(ordinal);
    if (isApart(calls) && isOpen(call) && attempt !== known?.attempt) {
      changes.set.push({ part: "attempt", name, text: JSON.stringify({ attempt, retry_time }) });
    }
    if (outcome !== undefined && known?.outcome === undefined) {
      changes.set.push({
        part: "outcome",
        name,
        text: "seq" in outcome ? String(outcome.seq) : JSON.stringify(outcome),
      });
    }
  }
}

function isApart(calls: readonly Call[]): boolean {
  return calls.length > CALLS_INLINE_MAX;
}

function withoutOutcome({ outcome: _outcome, ...call }: Call): Call {
  return call;
}

function settledBits(calls: readonly Call[]): string {
  const bits = Buffer.alloc(Math.ceil(calls.length / 8));
  for (const [ordinal, call] of calls.entries()) if (!isOpen(call)) bits[ordinal >> 3]! |= 1 << (ordinal & 7);
  return bits.toString("base64");
}
