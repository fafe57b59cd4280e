/**
 * The large members of vars that a worker keeps, as this server has sent them on one connection. The worker keeps and
 * forgets only what the offers say, in their order, so that both sides agree. A new connection begins with nothing.
 *
 * Only the digests of values are in memory here, so that a worker does not keep alive what its run has dropped.
 */
import type { HandlerPayload } from "../../core/handler-request.ts";
import { type LargeMember, type LargeMembers, largeMembersOf } from "../../core/json/large-members.ts";
import { handlerPayloadText, smallHandlerPayloadText } from "../../core/handler-request.ts";
import type { OfferedJob, OfferedVar } from "../api.ts";

/** Members that one worker keeps: as many as it may have jobs. Each takes some hundred bytes here. */
const ENTRIES_MAX = 10_000;

export type KeptVars = {
  /** Returns the large members of a run's vars for an offer, which must be the next offer sent. */
  offer(runId: string, members: LargeMembers): { largeVars: OfferedVar[]; forgottenVars: number[] };
};

type Entry = { id: number; digest: string; bytes: number };

/** @param bytesMax how many bytes of JSON text the worker keeps */
export function createKeptVars(bytesMax: number): KeptVars {
  /** By run and name. The entry that was offered longest ago comes first. */
  const entries = new Map<string, Entry>();
  let bytes = 0;
  let lastId = 0;

  function offerMember(key: string, { text, digest }: LargeMember, forgotten: number[]): Omit<OfferedVar, "name"> {
    const known = entries.get(key);
    if (known?.digest === digest) {
      entries.delete(key);
      entries.set(key, known);
      return { id: known.id };
    }
    if (known !== undefined) forgotten.push(forget(key, known));
    const size = Buffer.byteLength(text);
    // It would push out all others, and still not fit.
    if (size > bytesMax) return { id: 0, text };
    lastId += 1;
    entries.set(key, { id: lastId, digest, bytes: size });
    bytes += size;
    return { id: lastId, text };
  }

  function forget(key: string, entry: Entry): number {
    entries.delete(key);
    bytes -= entry.bytes;
    return entry.id;
  }

  return {
    offer(runId, members) {
      const forgottenVars: number[] = [];
      const largeVars: OfferedVar[] = [];
      for (const [name, member] of members) {
        largeVars.push({ name, ...offerMember(`${runId}/${name}`, member, forgottenVars) });
      }
      for (const [key, entry] of entries) {
        if (bytes <= bytesMax && entries.size <= ENTRIES_MAX) break;
        forgottenVars.push(forget(key, entry));
      }
      return { largeVars, forgottenVars };
    },
  };
}

/** The payload of a handler's job for a worker, without the vars that the worker keeps. */
export function givenHandler(
  runId: string,
  payload: HandlerPayload,
  keptVars: KeptVars | undefined,
): Pick<OfferedJob, "payload" | "largeVars" | "forgottenVars"> {
  const members = largeMembersOf(payload.vars);
  if (keptVars === undefined || members.size === 0) return { payload: handlerPayloadText(payload) };
  return { payload: smallHandlerPayloadText(payload), ...keptVars.offer(runId, members) };
}
