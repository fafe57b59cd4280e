/** Single reads of small things; reads at the same time share a batch. */
import { LETTER_KINDS } from "../core/mail.ts";
import type { Channel, EventLookup, EventQuery } from "../core/event.ts";
import type { ChannelProgress } from "../store/contract/events.ts";
import type { Mail } from "../store/contract/mail.ts";
import type { RunKey, StoredRun } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";
import { createBatcher } from "./batcher.ts";

/** Runs read at once; each may have 2 MiB. */
const RUNS_MAX = 50;
/** Runs without payloads, but with the records that their rows do not include yet: up to 256 KiB each. */
const HEADS_MAX = 100;

export type Reads = {
  readonly loadRun: (key: RunKey) => Promise<StoredRun | undefined>;
  /** The same without vars and output. */
  readonly loadRunHead: (key: RunKey) => Promise<StoredRun | undefined>;
  /** The mail of the kinds that this release knows. Letters of other kinds stay for a server that knows them. */
  readonly loadMail: (key: RunKey) => Promise<Mail[]>;
  readonly lookUpEvent: (query: EventQuery) => Promise<EventLookup>;
  /** The number of a channel's last event. */
  readonly readChannel: (channel: Channel) => Promise<number>;
  readonly readWoken: (channel: Channel) => Promise<ChannelProgress>;
};

export function createReads(store: Store): Reads {
  return {
    loadRun: createBatcher((keys: readonly RunKey[]) => store.runs.load(keys), RUNS_MAX),
    loadRunHead: createBatcher((keys: readonly RunKey[]) => store.runs.loadHeads(keys), HEADS_MAX),
    loadMail: createBatcher(async (keys: readonly RunKey[]) => {
      const all = await store.mail.list(keys, LETTER_KINDS);
      return keys.map((key): Mail[] =>
        all.filter((mail) => mail.tenantId === key.tenantId && mail.runId === key.runId),
      );
    }),
    lookUpEvent: createBatcher((queries: readonly EventQuery[]) => store.events.lookUp(queries)),
    readChannel: createBatcher((channels: readonly Channel[]) => store.events.readChannels(channels)),
    readWoken: createBatcher((channels: readonly Channel[]) => store.events.readWoken(channels)),
  };
}
