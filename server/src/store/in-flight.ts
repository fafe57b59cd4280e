/**
 * What is in flight, as a run's row has it. A settlement rewrites the row, so the row holds only which calls have settled: what a
 * settlement writes must not grow with the calls that settled before it.
 *
 * - An outcome is a part of its own, written once. An output is in its record already: the part says which one that is.
 * - The calls themselves are a part, written once, and so are their further attempts. A few calls stay in the row: that costs
 *   less than parts that are written and dropped again.
 */
import { type Call, type CallOutcome, isOpen } from "../core/call.ts";
import { callsOf, type InFlight, type RunState } from "../core/run.ts";
import type { PartChanges, StoredParts } from "./part.ts";

/** Calls that stay in the row. Tools are mostly called one at a time. */
const CALLS_INLINE_MAX = 4;

type CallsInFlight = Extract<InFlight, { at: "calls" }>;

export type StoredInFlight =
  | Exclude<InFlight, CallsInFlight>
  | (Omit<CallsInFlight, "calls"> & {
      /** Without outcomes; "apart" if they are a part. */
      calls: readonly Call[] | "apart";
      /** A bit for each call, from the lowest of the first byte on: whether it has settled. Base64. */
      settled: string;
    });

type Attempt = Pick<Call, "attempt" | "retry_time">;

/** What is in flight without what parts of their own hold. */
export function inFlightToRow(inFlight: InFlight): StoredInFlight {
  if (inFlight.at !== "calls") return inFlight;
  const { calls, ...rest } = inFlight;
  return { ...rest, calls: isApart(calls) ? "apart" : calls.map(withoutOutcome), settled: settledBits(calls) };
}

/**
 * What is in flight, put together again.
 * @param parts without outcomes for a run that is read without payloads: calls that have settled then show null
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

/** How parts change with the calls in flight. @param before the state that the row has */
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
