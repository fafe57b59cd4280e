/**
 * Wakes the runs that wait for events of a channel, after the events are committed: in bounded batches, each run in its
 * own transition. The channel's row notes the progress, so that a sweep finds what a crash interrupted.
 */
import { type Channel, channelKey } from "../../core/event.ts";
import type { Essentials } from "../essentials.ts";
import type { Reaction } from "../reactions.ts";
import { reportFailure } from "../report-failure.ts";
import { isUnavailable } from "../retry.ts";
import type { TransitionParts } from "../transition/perform.ts";
import { wake } from "./wake-run.ts";

/** Events read at once; each may have a payload of 1 MiB. */
const EVENTS_MAX = 50;
const LISTENERS_MAX = 200;
/** How often the progress of finished channels is noted: one statement for all of them. */
const NOTE_MS = 200;

export type ListenerWaker = {
  /**
   * Wakes the listeners of all events in the channel that are not noted as woken yet. Never rejects.
   * @returns how many runs took `eventId`
   */
  wakeListeners(channel: Channel, eventId?: string): Promise<number>;
  /** Wakes, in the background, the listeners of events that a run has emitted. */
  readonly reaction: Reaction;
  stop(): Promise<void>;
};

export function createListenerWaker({ store, log }: Essentials, transitions: TransitionParts): ListenerWaker {
  /** By channel: the pass that has not begun yet. Callers that come during a pass share the next one. */
  const next = new Map<string, Promise<Map<string, number>>>();
  const running = new Map<string, Promise<unknown>>();
  let finished = new Map<string, { channel: Channel; number: number }>();
  let noteTimer: NodeJS.Timeout | undefined;
  let isStopped = false;

  async function pass(channel: Channel): Promise<Map<string, number>> {
    const takers = new Map<string, number>();
    const key = channelKey(channel);
    const { lastNumber, wokenNumber, isHeard } = await transitions.reads.readWoken(channel);
    let after = isHeard ? Math.max(wokenNumber, finished.get(key)?.number ?? 0) : lastNumber;
    let isComplete = true;
    while (after < lastNumber && !isStopped) {
      const events = await store.events.list(channel, after, EVENTS_MAX);
      if (events.length === 0) break;
      const pairs = new Map(
        events.map((event) => [`${event.key}\n${event.name}`, { name: event.name, key: event.key }]),
      );
      if (!(await wakeAll(channel, [...pairs.values()], takers))) isComplete = false;
      after = events.at(-1)!.number;
    }
    // The progress is not noted, so a sweep tries again, here or at another server.
    if (!isComplete) return takers;
    // Numbers may have gaps at the end (duplicates), so the progress is the last number itself.
    note(channel, isStopped ? after : Math.max(after, lastNumber));
    return takers;
  }

  /** Wakes all listeners; returns whether every one of them could check. */
  async function wakeAll(
    channel: Channel,
    events: readonly { name: string; key: string }[],
    takers: Map<string, number>,
  ): Promise<boolean> {
    let isComplete = true;
    let afterWaitId: string | undefined;
    for (;;) {
      const listeners = await store.events.listListeners({
        channel,
        events,
        limit: LISTENERS_MAX,
        ...(afterWaitId === undefined ? {} : { afterWaitId }),
      });
      const woken = await Promise.all(listeners.map((listener) => wake(transitions, listener)));
      for (const performed of woken) {
        if (performed === "missed") {
          isComplete = false;
          continue;
        }
        for (const command of performed?.plan?.commands ?? []) {
          if (command.type !== "consume_event" || channelKey(command.channel) !== channelKey(channel)) continue;
          takers.set(command.eventId, (takers.get(command.eventId) ?? 0) + 1);
        }
      }
      if (listeners.length < LISTENERS_MAX) return isComplete;
      afterWaitId = listeners.at(-1)!.waitId;
    }
  }

  function note(channel: Channel, number: number): void {
    finished.set(channelKey(channel), { channel, number });
    noteTimer ??= setTimeout(() => void flush(), NOTE_MS);
  }

  async function flush(): Promise<void> {
    noteTimer = undefined;
    const noted = finished;
    finished = new Map();
    try {
      await store.events.markWoken([...noted.values()]);
    } catch (error) {
      // If this is not noted, the sweep wakes the listeners once more, which changes nothing.
      if (!isUnavailable(error)) log.warn({ err: error }, "noting woken channels failed");
    }
  }

  function start(channel: Channel): Promise<Map<string, number>> {
    const key = channelKey(channel);
    const waiting = next.get(key);
    if (waiting !== undefined) return waiting;
    const before = running.get(key) ?? Promise.resolve();
    const mine = before
      .catch(() => undefined)
      .then(() => {
        next.delete(key);
        running.set(key, mine);
        return pass(channel);
      })
      .finally(() => {
        if (running.get(key) === mine) running.delete(key);
      });
    next.set(key, mine);
    return mine;
  }

  async function wakeListeners(channel: Channel, eventId?: string): Promise<number> {
    try {
      const takers = await start({ tenantId: channel.tenantId, scope: channel.scope, scopeId: channel.scopeId });
      return eventId === undefined ? 0 : (takers.get(eventId) ?? 0);
    } catch (error) {
      if (!isUnavailable(error)) log.error({ err: error }, "waking listeners failed");
      return 0;
    }
  }

  function wakeSoon(channel: Channel): void {
    wakeListeners(channel).catch(reportFailure(log, "waking listeners failed"));
  }

  return {
    wakeListeners,
    reaction: {
      committed({ plan }) {
        for (const command of plan.commands) if (command.type === "emit") wakeSoon(command.event);
      },
    },
    async stop() {
      isStopped = true;
      await Promise.allSettled([...running.values(), ...next.values()]);
      clearTimeout(noteTimer);
      if (finished.size > 0) await flush();
    },
  };
}
