/**
 * What servers tell each other, outside of every write transaction: which runs changed, which have mail. Gathered for a
 * moment and sent as one notice; a lost one costs time, not correctness, since watchers poll and sweeps search.
 */
import type { Logger } from "pino";
import type { RunKey } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";
import { pause } from "./pause.ts";
import type { Reaction } from "./reactions.ts";
import { isUnavailable } from "./retry.ts";
import { runKeyText } from "./run-table.ts";

/** News gathered before it is sent. */
const GATHER_MS = 10;
/** Postgres takes 8,000 bytes for one notice. */
const PAYLOAD_BYTES_MAX = 7_000;
const RELISTEN_MS = 1_000;

export type Neighbours = {
  tell(news: { run?: RunKey; mail?: RunKey; jobs?: string }): void;
  /** Has them check everything themselves. */
  tellToLook(): void;
  /** Tells them of every run that this server changes. */
  readonly reaction: Reaction;
  /** Begins to listen, and tries again for ever while it cannot. */
  start(): void;
  stop(): Promise<void>;
};

type Payload = {
  from: string;
  runs: string[];
  mail: string[];
  jobs?: string[];
  /** Something is left out; `moreJobs`: queues too. */
  more?: boolean;
  moreJobs?: boolean;
};

export function createNeighbours(options: {
  store: Store;
  log: Logger;
  /** This process; its own notices come back and are ignored. */
  name: string;
  hasOthers: () => boolean;
  onRun: (key: RunKey) => void;
  onMail: (key: RunKey) => void;
  onJobs: (queue: string) => void;
  /** More changed than a notice holds. `hasJobs`: queues with jobs are among it. */
  onMore: (hasJobs: boolean) => void;
  /** From now on others are heard: what they said before is not known. */
  onListening: () => void;
}): Neighbours {
  const { store, log, name, hasOthers, onRun, onMail, onJobs, onMore, onListening } = options;
  let runs = new Set<string>();
  let mail = new Set<string>();
  let jobs = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let unlisten: (() => Promise<void>) | undefined;
  let isStopped = false;

  async function send(): Promise<void> {
    timer = undefined;
    const payload: Payload = { from: name, runs: [...runs], mail: [...mail], jobs: [...jobs] };
    runs = new Set();
    mail = new Set();
    jobs = new Set();
    let text = JSON.stringify(payload);
    // Queues come first: they are few for many runs, and a server that hears of none may keep its workers idle.
    if (text.length > PAYLOAD_BYTES_MAX) text = JSON.stringify({ ...payload, runs: [], mail: [], more: true });
    if (text.length > PAYLOAD_BYTES_MAX) {
      text = JSON.stringify({ from: name, runs: [], mail: [], more: true, moreJobs: true });
    }
    try {
      await store.notices.send(text);
    } catch (error) {
      if (!isUnavailable(error)) log.warn({ err: error }, "telling other servers failed");
    }
  }

  function hear(text: string): void {
    let payload: Payload;
    try {
      payload = JSON.parse(text) as Payload;
    } catch {
      return;
    }
    if (payload.from === name) return;
    if (payload.more) onMore(payload.moreJobs === true);
    for (const key of payload.runs) onRun(keyFrom(key));
    for (const key of payload.mail) onMail(keyFrom(key));
    for (const queue of payload.jobs ?? []) onJobs(queue);
  }

  async function listen(): Promise<void> {
    while (!isStopped && unlisten === undefined) {
      try {
        unlisten = await store.notices.listen(hear);
        onListening();
      } catch (error) {
        if (!isUnavailable(error)) log.warn({ err: error }, "listening to other servers failed");
        await pause(RELISTEN_MS);
      }
    }
  }

  const tell: Neighbours["tell"] = ({ run, mail: mailed, jobs: queue }) => {
    if (!hasOthers()) return;
    if (run !== undefined) runs.add(runKeyText(run));
    if (mailed !== undefined) mail.add(runKeyText(mailed));
    if (queue !== undefined) jobs.add(queue);
    timer ??= setTimeout(() => void send(), GATHER_MS);
  };

  return {
    tell,
    reaction: { committed: ({ key }) => tell({ run: key }) },
    tellToLook() {
      const payload: Payload = { from: name, runs: [], mail: [], more: true, moreJobs: true };
      store.notices.send(JSON.stringify(payload)).catch((error: unknown) => {
        if (!isUnavailable(error)) log.warn({ err: error }, "telling other servers failed");
      });
    },
    start: () => void listen(),
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await unlisten?.().catch(() => undefined);
    },
  };
}

function keyFrom(text: string): RunKey {
  const slash = text.indexOf("/");
  return { tenantId: text.slice(0, slash), runId: text.slice(slash + 1) };
}
