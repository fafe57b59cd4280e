/**
 * What servers announce to each other, outside of every write transaction: which runs changed, and which have mail.
 * News is collected for a moment and sent as one notice. A lost notice costs time but not correctness, because watchers
 * poll and sweeps search.
 */
import type { Logger } from "pino";
import type { RunKey } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";
import { pause } from "./pause.ts";
import type { Health } from "./health.ts";
import type { Reaction } from "./reactions.ts";
import { isUnavailable } from "./retry.ts";
import { runKeyText } from "./run-table.ts";

/** How long news is collected before it is sent. */
const GATHER_MS = 10;
/** Postgres limits a notice to 8,000 bytes. */
const PAYLOAD_BYTES_MAX = 7_000;
const RELISTEN_MS = 1_000;

export type Neighbours = {
  tell(news: { run?: RunKey; mail?: RunKey; jobs?: string }): void;
  /** Makes the others check everything themselves. */
  tellToLook(): void;
  /** Announces every run that this server changes. */
  readonly reaction: Reaction;
  /** Starts to listen, and retries for as long as it fails. */
  start(): void;
  stop(): Promise<void>;
};

type Payload = {
  from: string;
  runs: string[];
  mail: string[];
  jobs?: string[];
  /** Something was left out; with `moreJobs`, queues too. */
  more?: boolean;
  moreJobs?: boolean;
};

export function createNeighbours(options: {
  store: Store;
  log: Logger;
  health: Health;
  /** Names this process: its own notices come back and are ignored. */
  name: string;
  hasOthers: () => boolean;
  onRun: (key: RunKey) => void;
  onMail: (key: RunKey) => void;
  onJobs: (queue: string) => void;
  /** More has changed than fits into a notice. `hasJobs`: so have queues. */
  onMore: (hasJobs: boolean) => void;
  /** Listening has (again) begun: what others announced before was missed. */
  onListening: () => void;
}): Neighbours {
  const { store, log, health, name, hasOthers, onRun, onMail, onJobs, onMore, onListening } = options;
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
    // Queues come first: they are few compared with runs, and a server that misses one may leave its workers idle.
    if (text.length > PAYLOAD_BYTES_MAX) text = JSON.stringify({ ...payload, runs: [], mail: [], more: true });
    if (text.length > PAYLOAD_BYTES_MAX) {
      text = JSON.stringify({ from: name, runs: [], mail: [], more: true, moreJobs: true });
    }
    try {
      await store.notices.send(text);
    } catch (error) {
      if (!isUnavailable(error)) log.warn({ err: error }, "sending a notice to other servers failed");
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
    while (!isStopped) {
      try {
        const lost = Promise.withResolvers<void>();
        unlisten = await store.notices.listen(hear, lost.resolve);
        health.clear("notices_lost");
        if (isStopped) return await unlisten();
        onListening();
        await lost.promise;
        unlisten = undefined;
      } catch (error) {
        if (!isUnavailable(error)) log.warn({ err: error }, "listening to notices of other servers failed");
        // If more is wrong than that, it is reported already.
        else if (health.canServe()) reportLost(error);
        await pause(RELISTEN_MS);
      }
    }
  }

  function reportLost(error: unknown): void {
    const { code, cause } = error as { code?: string; cause?: unknown };
    const message = "notices of other servers do not arrive; this server polls for their news";
    health.report("notices_lost", message, { code, ...(cause instanceof Error ? { cause: cause.message } : {}) });
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
        if (!isUnavailable(error)) log.warn({ err: error }, "sending a notice to other servers failed");
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
