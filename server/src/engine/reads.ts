/** Single reads of small things; reads at the same time share a batch. */
import type { Logger } from "pino";
import { type Damageable, whole } from "../core/damage.ts";
import type { SealedRecord } from "../core/ledger-format.ts";
import { LETTER_KINDS } from "../core/mail.ts";
import type { Channel, EventLookup, EventQuery } from "../core/event.ts";
import type { ChannelProgress } from "../store/contract/events.ts";
import type { Mail } from "../store/contract/mail.ts";
import type { RunKey, StoredRun } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";
import { createBatcher } from "./batcher.ts";
import { reportDamage } from "./report-damage.ts";
import { runKeyText } from "./run-table.ts";

/** Runs read at once; each may have 2 MiB. */
const RUNS_MAX = 50;
/** Runs read at once for clients. Each may have 2 MiB, whose decoding takes many milliseconds in which nothing else
 *  happens. */
const VIEWED_RUNS_MAX = 8;
/** Pages of records read at once for clients. */
const RECORD_PAGES_MAX = 8;
/** Runs without payloads, but with the records that their rows do not include yet: up to 256 KiB each. */
const HEADS_MAX = 100;

export type RecordPage = { key: RunKey; afterSeq: number; limit: number };

export type Reads = {
  /** Refuses a damaged run, and so does `loadRunHead`; `lookUpEvent` refuses a damaged event. */
  readonly loadRun: (key: RunKey) => Promise<StoredRun | undefined>;
  /** The same for a reader that never changes it: those who ask at the same time share one object. */
  readonly viewRun: (key: RunKey) => Promise<StoredRun | undefined>;
  /** A page of a run's records. Those who ask for the same page at the same time share it. */
  readonly listRecords: (page: RecordPage) => Promise<readonly SealedRecord[]>;
  /** The same without vars and output. */
  readonly loadRunHead: (key: RunKey) => Promise<StoredRun | undefined>;
  /** As `loadRunHead`, also for a damaged run: with what can be read of it. */
  readonly loadListedRun: (key: RunKey) => Promise<StoredRun | undefined>;
  /** The mail of the kinds that this release knows. Letters of other kinds stay for a server that knows them. */
  readonly loadMail: (key: RunKey) => Promise<Mail[]>;
  readonly lookUpEvent: (query: EventQuery) => Promise<EventLookup>;
  /** The number of a channel's last event. */
  readonly readChannel: (channel: Channel) => Promise<number>;
  readonly readWoken: (channel: Channel) => Promise<ChannelProgress>;
};

export function createReads(store: Store, log: Logger): Reads {
  /** Returns what is whole; whoever asked first is not the only one who learns of damage. */
  const checked = <T extends Damageable | undefined>(stored: T): T => {
    reportDamage(log, stored?.damage);
    return whole(stored);
  };
  const loadRuns = (keys: readonly RunKey[]) => store.runs.load(keys);
  const loadRun = createBatcher(loadRuns, { batchMax: RUNS_MAX });
  const viewRun = createBatcher(loadRuns, { batchMax: VIEWED_RUNS_MAX, nameOf: runKeyText });
  const loadRunHead = createBatcher((keys: readonly RunKey[]) => store.runs.loadHeads(keys), { batchMax: HEADS_MAX });
  const lookUpEvent = createBatcher((queries: readonly EventQuery[]) => store.events.lookUp(queries));
  return {
    // Each caller is refused for its own run only, although runs are read together.
    loadRun: async (key) => checked(await loadRun(key)),
    viewRun: async (key) => checked(await viewRun(key)),
    loadRunHead: async (key) => checked(await loadRunHead(key)),
    async loadListedRun(key) {
      const run = await loadRunHead(key);
      reportDamage(log, run?.damage);
      return run;
    },
    listRecords: createBatcher(
      (pages: readonly RecordPage[]) =>
        Promise.all(pages.map(({ key, afterSeq, limit }) => store.ledger.list(key, afterSeq, limit))),
      {
        batchMax: RECORD_PAGES_MAX,
        nameOf: ({ key, afterSeq, limit }) => `${afterSeq}/${limit}/${runKeyText(key)}`,
      },
    ),
    loadMail: createBatcher(async (keys: readonly RunKey[]) => {
      const all = await store.mail.list(keys, LETTER_KINDS);
      return keys.map((key): Mail[] =>
        all.filter((mail) => mail.tenantId === key.tenantId && mail.runId === key.runId),
      );
    }),
    lookUpEvent: async (query) => {
      const lookup = await lookUpEvent(query);
      checked(lookup.event);
      return lookup;
    },
    readChannel: createBatcher((channels: readonly Channel[]) => store.events.readChannels(channels)),
    readWoken: createBatcher((channels: readonly Channel[]) => store.events.readWoken(channels)),
  };
}
