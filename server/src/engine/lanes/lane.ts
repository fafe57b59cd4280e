/**
 * A lane: this server's ordered stream of commit batches. While one batch is in flight, the next one collects items. If
 * the outcome of a batch is unknown, it is resolved first; only then do callers hear of it and is the next batch sent.
 */
import type { Logger } from "pino";
import type { BatchItem, ItemOutcome } from "../../store/contract/batch.ts";
import {
  BatchContendedError,
  BatchOutcomeUnknownError,
  BatchRejectedError,
  LaneFencedError,
  StoreUnavailableError,
} from "../../store/contract/errors.ts";
import type { Lane as LaneLease } from "../../store/contract/lanes.ts";
import type { Store } from "../../store/contract/store.ts";
import type { Deadline } from "../deadline.ts";
import { pause } from "../pause.ts";
import { runKeyText } from "../run-table.ts";

/**
 * Transitions and deliveries in one batch: large enough that one commit carries hundreds of steps, and small enough
 * that locks are held briefly.
 */
const BATCH_ITEMS_MAX = 512;
/** The bytes in one batch; only payload texts are counted. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
/**
 * How long a batch is retried before its callers get an error: while the database cannot be reached, or while another
 * transaction holds a lock that the batch's only item needs.
 */
const UNAVAILABLE_RETRY_MS = 3_000;
/**
 * How long a batch that waits for locks is split, at up to 1 s (lock_timeout) for each part. One item among 512 is
 * found in 10 parts. If most items need locks that others hold, the lane does not stop for each in turn.
 */
const CONTENDED_SEARCH_MS = 20_000;
const RETRY_PAUSE_MS = 100;
/**
 * The pause between two checks of a batch whose outcome is unknown. There is no limit: nothing else may happen before.
 */
const RESOLVE_PAUSE_MS = 200;
/** A failure that stays is logged about once a minute. */
const RESOLVE_ATTEMPTS_PER_LINE = 300;

export type Lane = {
  readonly lease: LaneLease;
  /** The number of items collected and in flight. */
  readonly pending: number;
  /**
   * Resolves when the item's outcome is known. An item whose deadline passes before it was sent is dropped.
   * @throws StoreUnavailableError, LaneFencedError, BatchRejectedError, DeadlineError
   */
  submit(item: BatchItem, bytes: number, deadline?: Deadline): Promise<ItemOutcome>;
};

type Waiting = {
  item: BatchItem;
  bytes: number;
  resolve: (outcome: ItemOutcome) => void;
  reject: (error: unknown) => void;
  /** Called when the item leaves what was gathered. */
  onSend?: () => void;
};

export function createLane(options: {
  store: Store;
  lease: LaneLease;
  log: Logger;
  /** Called once, when the lane learns that its lease has ended. */
  onFenced: () => void;
}): Lane {
  const { store, lease, log, onFenced } = options;
  const gathered: Waiting[] = [];
  let inFlight = 0;
  let batchNo = 0;
  let isPumping = false;
  let isFenced = false;

  /**
   * Takes the oldest items. A batch contains each run at most once: further items for the same run wait for the next
   * one.
   */
  function takeBatch(): Waiting[] {
    let bytes = 0;
    let items = 0;
    let count = 0;
    const runs = new Set<string>();
    for (const waiting of gathered) {
      const keys = runsOf(waiting.item);
      bytes += waiting.bytes;
      items += Math.max(keys.length, 1);
      const isFull = items > BATCH_ITEMS_MAX || bytes > BATCH_BYTES_MAX || keys.some((key) => runs.has(key));
      if (count > 0 && isFull) break;
      for (const key of keys) runs.add(key);
      count++;
    }
    const batch = gathered.splice(0, count);
    for (const waiting of batch) waiting.onSend?.();
    return batch;
  }

  /** Drops an item that was not sent when its deadline passed. */
  function watchDeadline(waiting: Waiting, deadline: Deadline): void {
    const forget = deadline.onOver((error) => {
      const place = gathered.indexOf(waiting);
      if (place === -1) return;
      gathered.splice(place, 1);
      waiting.reject(error);
    });
    waiting.onSend = () => {
      forget();
      deadline.noteSent();
    };
  }

  async function pump(): Promise<void> {
    while (gathered.length > 0) {
      const batch = takeBatch();
      inFlight = batch.length;
      await commit(batch);
      inFlight = 0;
    }
    isPumping = false;
  }

  /**
   * Commits a batch and reports to each item's caller what became of it. Never throws.
   * @param beganAt when the batch that contained these items was first sent
   */
  async function commit(batch: Waiting[], beganAt = performance.now()): Promise<void> {
    const giveUpAt = performance.now() + UNAVAILABLE_RETRY_MS;
    for (;;) {
      batchNo++;
      try {
        const outcomes = await store.batches.commit({
          laneId: lease.laneId,
          batchNo,
          items: batch.map(({ item }) => item),
        });
        for (const [index, waiting] of batch.entries()) waiting.resolve(outcomes[index]!);
        return;
      } catch (error) {
        if (error instanceof BatchOutcomeUnknownError) {
          log.warn(
            { laneId: lease.laneId, batchNo },
            "the connection was lost during a commit; checking whether it was committed",
          );
          if ((await resolveBatch(batchNo)) === "committed") return await tellCommitted(batch);
        } else if (isAway(error) && performance.now() < giveUpAt) {
          await pause(RETRY_PAUSE_MS);
        } else if (batch.length > 1 && mayCommitInParts(error, performance.now() - beganAt)) {
          // Halving finds the item at fault in log2(512) = 9 rounds, and commits the others on the way.
          const middle = batch.length >> 1;
          await commit(batch.slice(0, middle), beganAt);
          await commit(batch.slice(middle), beganAt);
          return;
        } else if (error instanceof BatchContendedError) {
          if (batch.length === 1 && performance.now() - beganAt < UNAVAILABLE_RETRY_MS) {
            await pause(RETRY_PAUSE_MS);
            continue;
          }
          const refusal = new StoreUnavailableError("another transaction holds a lock that the commit needs", {
            kind: "contended",
            cause: error,
          });
          for (const waiting of batch) waiting.reject(refusal);
          return;
        } else {
          if (error instanceof LaneFencedError && !isFenced) {
            isFenced = true;
            onFenced();
          }
          for (const waiting of batch) waiting.reject(error);
          return;
        }
      }
    }
  }

  async function resolveBatch(unknownBatchNo: number): Promise<"committed" | "void"> {
    // Items collected since then were never sent, so their callers get an error now, whatever became of the batch.
    const impatience = setInterval(() => {
      const error = new StoreUnavailableError("it is not known yet whether the previous batch was committed", {
        kind: "timed_out",
      });
      for (const waiting of gathered.splice(0)) waiting.reject(error);
    }, UNAVAILABLE_RETRY_MS);
    try {
      return await forSure(() => store.batches.resolve(lease.laneId, unknownBatchNo));
    } finally {
      clearInterval(impatience);
    }
  }

  /** The batch is in the database, but the reply that said which of its items had conflicts is lost. */
  async function tellCommitted(batch: Waiting[]): Promise<void> {
    for (const waiting of batch) {
      if (waiting.item.type === "delivery") {
        // The store never refuses mail, so the letter is there, and sent again it would be there twice. An event is
        // sent again because its number is not known; the store recognises it by its id.
        if (waiting.item.delivery.type === "mail") waiting.resolve({ type: "committed" });
        else gathered.push(waiting);
        continue;
      }
      // A group is committed completely or not at all: one record shows which.
      const moved = waiting.item.transitions.find(({ records }) => records.length > 0);
      const first = moved?.records[0];
      if (moved === undefined || first === undefined) {
        waiting.resolve(UNKNOWN_CONFLICT);
        continue;
      }
      const [stored] = await forSure(() => store.ledger.list(moved, first.seq - 1, 1));
      waiting.resolve(stored?.hash === first.hash ? { type: "committed" } : UNKNOWN_CONFLICT);
    }
  }

  /** Asks until there is an answer: no caller may get a result before that. */
  async function forSure<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempts = 0; ; attempts++) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof StoreUnavailableError) && attempts % RESOLVE_ATTEMPTS_PER_LINE === 0) {
          log.error({ err: error, attempts }, "resolving a batch of unknown outcome failed; trying again");
        }
        await pause(RESOLVE_PAUSE_MS);
      }
    }
  }

  return {
    lease,
    get pending() {
      return gathered.length + inFlight;
    },
    submit(item, bytes, deadline) {
      if (isFenced) return Promise.reject(new LaneFencedError("the lane's lease has ended"));
      if (deadline?.error !== undefined) return Promise.reject(deadline.error);
      return new Promise((resolve, reject) => {
        const waiting: Waiting = { item, bytes, resolve, reject };
        if (deadline !== undefined) watchDeadline(waiting, deadline);
        gathered.push(waiting);
        if (isPumping) return;
        isPumping = true;
        // One turn later, so that what arrives together is committed together.
        setImmediate(() => void pump());
      });
    },
  };
}

/** The cause was lost with the reply. The caller reads the run again. */
const UNKNOWN_CONFLICT: ItemOutcome = { type: "conflict", transition: 0, cause: "seq" };

function runsOf(item: BatchItem): string[] {
  return item.type === "group" ? item.transitions.map(runKeyText) : [];
}

function isAway(error: unknown): boolean {
  return error instanceof StoreUnavailableError && !(error instanceof LaneFencedError);
}

/** Whether a part of the batch may succeed although the batch did not. */
function mayCommitInParts(error: unknown, elapsedMs: number): boolean {
  if (error instanceof BatchContendedError) return elapsedMs < CONTENDED_SEARCH_MS;
  return error instanceof BatchRejectedError;
}
