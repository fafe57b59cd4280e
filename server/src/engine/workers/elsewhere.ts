/**
 * What the workers of other servers serve. It is used only to tell a job without a worker from one that waits its turn.
 */
import type { WorkerStore } from "../../store/contract/workers.ts";
import { servedQueues, servesVersion, type ServedQueue } from "./session.ts";

/** How often the workers of other servers are read. */
const READ_MS = 5_000;
/** The workers of other servers, as far as they are known here. */
const WORKERS_MAX = 1_000;

export type WorkersElsewhere = {
  /** Reads them again, unless that was done a moment ago. */
  read(): Promise<void>;
  /** There are no other servers, so no workers either. */
  clear(): void;
  /** Whether a worker of another server serves jobs of the queue in this version. */
  serve(queue: string, version: number): boolean;
};

export function createWorkersElsewhere(store: WorkerStore, serverId: () => string): WorkersElsewhere {
  let served: Map<string, ServedQueue[]> = new Map();
  let isReading = false;
  let readAt = Number.NEGATIVE_INFINITY;

  return {
    async read() {
      if (isReading || performance.now() - readAt < READ_MS) return;
      readAt = performance.now();
      isReading = true;
      try {
        const found = new Map<string, ServedQueue[]>();
        for (const worker of await store.listElsewhere(serverId(), WORKERS_MAX)) {
          const tools = worker.toolNames.map((name) => ({ name, concurrency: 0 }));
          for (const [queue, one] of servedQueues(worker.tenantId, { ...worker, tools })) {
            found.set(queue, [...(found.get(queue) ?? []), one]);
          }
        }
        served = found;
      } finally {
        isReading = false;
      }
    },
    clear() {
      served = new Map();
    },
    serve: (queue, version) => (served.get(queue) ?? []).some((one) => servesVersion(one, version)),
  };
}
