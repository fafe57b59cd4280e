/** Events of channels, and the waits that listen for them. */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { Channel, EventCursor, EventQuery } from "../../core/event.ts";
import type { ChannelProgress } from "../contract/events.ts";
import type { Store } from "../contract/store.ts";
import { ALL, COMMITTED, type OpenBench, keyOf, load } from "./bench.ts";
import {
  answerOf,
  assignOf,
  channelMoved,
  closingOf,
  eventDelivery,
  eventOf,
  groupOf,
  openWriter,
  startOf,
  stepOf,
  timeAt,
  waitOf,
} from "./fixtures.ts";

async function progressOf(store: Store, channel: Channel): Promise<ChannelProgress> {
  const [progress] = await store.events.readWoken([channel]);
  assert(progress !== undefined, "readWoken returns an entry for each channel");
  return progress;
}

export function describeEvents(openBench: OpenBench): void {
  describe("events", () => {
    const bench = openBench("group");

    const globalOf = (tenantId: string): Channel => ({ tenantId, scope: "global", scopeId: "" });
    const queryOf = (channel: Channel, names: string[], facts: Partial<EventQuery> = {}): EventQuery => ({
      channel,
      names,
      startNumber: 0,
      cursors: [],
      ...facts,
    });

    it("numbers the events of each channel in the order of their commits", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const channels: Channel[] = [
        globalOf(tenantId),
        { tenantId, scope: "run", scopeId: "x" },
        { tenantId, scope: "session", scopeId: "x" },
        { tenantId, scope: "workflow", scopeId: "x" },
        globalOf(bench.tenant()),
      ];
      expect(await store.events.readChannels(channels)).toEqual([0, 0, 0, 0, 0]);
      expect(await store.events.readChannels([])).toEqual([]);
      const drafts = channels.flatMap((channel) => [1, 2].map((n) => eventOf(channel, { name: `n${n}` })));
      const outcomes = await writer.deliver(...drafts.map(eventDelivery));
      const otherWriter = await openWriter(other);
      const [late] = await otherWriter.deliver(eventDelivery(eventOf(globalOf(tenantId), { name: "late" })));
      expect(outcomes.map((outcome) => outcome.type)).toEqual(drafts.map(() => "committed"));
      for (const [i, channel] of channels.entries()) {
        const events = await store.events.list(channel, 0, ALL);
        const numbers = events.map((event) => event.number);
        const names = i === 0 ? ["n1", "n2", "late"] : ["n1", "n2"];
        expect(events.map((event) => event.name)).toEqual(names);
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
        expect(new Set(numbers).size).toBe(numbers.length);
        const own = [outcomes[2 * i], outcomes[2 * i + 1], ...(i === 0 ? [late] : [])];
        expect(own).toEqual(numbers.map((number) => ({ type: "committed", number })));
        expect(await store.events.readChannels([channel])).toEqual([numbers.at(-1)]);
      }
    });

    it("keeps everything about an event, and lists the events after a number", async () => {
      const { store, writer } = bench;
      const channel = globalOf(bench.tenant());
      const drafts = [
        eventOf(channel, {
          name: "order.paid",
          key: "k/1",
          payload: { a: [1, "ü"] },
          actorId: "ann",
          emitTime: timeAt(1),
        }),
        eventOf(channel, { name: "order.sent", payload: null }),
        eventOf(channel, { name: "order.lost", payload: "text" }),
      ];
      const outcomes = await writer.deliver(...drafts.map(eventDelivery));
      const numbers = outcomes.map((outcome) => (outcome.type === "committed" ? outcome.number : undefined));
      const expected = drafts.map(({ tenantId: _t, scope: _s, scopeId: _i, ...event }, i) => ({
        ...event,
        number: numbers[i],
      }));
      expect(await store.events.list(channel, 0, ALL)).toEqual(expected);
      expect((await store.events.list(channel, 0, 1))[0]).toEqual(expected[0]);
      expect(await store.events.list(channel, numbers[0] ?? 0, 1)).toEqual([expected[1]]);
      expect(await store.events.list(channel, numbers[2] ?? 0, ALL)).toEqual([]);
    });

    it("recognizes a duplicate event_id in the same batch and in a later one", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      const elsewhere: Channel = { tenantId, scope: "session", scopeId: "s" };
      const [first, again, neighbour] = await writer.deliver(
        eventDelivery(eventOf(channel, { name: "one", eventId: "same" })),
        eventDelivery(eventOf(channel, { name: "two", eventId: "same" })),
        eventDelivery(eventOf(elsewhere, { name: "three", eventId: "same" })),
      );
      expect(first?.type).toBe("committed");
      expect(again).toEqual({ type: "duplicate" });
      expect(neighbour?.type).toBe("committed");
      const later = await writer.deliver(
        eventDelivery(eventOf(channel, { name: "four", eventId: "same" })),
        eventDelivery(eventOf(channel, { name: "five", eventId: "fresh" })),
      );
      expect(later.map((outcome) => outcome.type)).toEqual(["duplicate", "committed"]);
      const names = (await store.events.list(channel, 0, ALL)).map((event) => event.name);
      expect(names).toEqual(["one", "five"]);
      expect((await store.events.list(elsewhere, 0, ALL)).map((event) => event.name)).toEqual(["three"]);
    });

    it("says whether a channel has an event id", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      const emitted = (where: Channel, eventId: string): Promise<boolean> => other.events.wasEmitted(where, eventId);
      expect(await emitted(channel, "one")).toBe(false);
      await writer.deliver(
        eventDelivery(eventOf(channel, { name: "n", eventId: "zero" })),
        eventDelivery(eventOf(channel, { name: "n", eventId: "one" })),
      );
      expect(await emitted(channel, "one")).toBe(true);
      expect(await store.events.wasEmitted(channel, "zero")).toBe(true);
      expect(await emitted(channel, "on")).toBe(false);
      expect(await emitted({ tenantId, scope: "session", scopeId: "s" }, "one")).toBe(false);
      expect(await emitted(globalOf(bench.tenant()), "one")).toBe(false);
    });

    it("emits with a transition, and skips a duplicate without failing the transition", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const one = eventOf(channel, { name: "one", eventId: "one" });
      const after = await writer.put(assignOf(run, "x", 1, { events: [one, eventOf(channel, { name: "two" })] }));
      const next = await writer.put(assignOf(after, "x", 2, { events: [one, eventOf(channel, { name: "three" })] }));
      expect((await store.events.list(channel, 0, ALL)).map((event) => event.name)).toEqual(["one", "two", "three"]);
      expect(await load(store, keyOf(run))).toEqual(next);
    });

    it("finds the first event that a query matches", async () => {
      const { store, other, writer } = bench;
      const channel = globalOf(bench.tenant());
      const drafts = [
        eventOf(channel, { name: "order.paid", key: "a" }),
        eventOf(channel, { name: "order.sent", key: "b" }),
        eventOf(channel, { name: "order.paid", key: "b" }),
        eventOf(channel, { name: "orders" }),
        eventOf(channel, { name: "order.paid", key: "" }),
        eventOf(channel, { name: "other_%", key: "b" }),
      ];
      await writer.deliver(...drafts.map(eventDelivery));
      const events = await store.events.list(channel, 0, ALL);
      const number = (i: number): number => events[i]?.number ?? Number.NaN;
      const upTo = number(5);
      const cursor = (name: string, i: number, key?: string): EventCursor => ({
        scope: "global",
        name,
        number: number(i),
        ...(key === undefined ? {} : { key }),
      });
      const table: [EventQuery, number | undefined][] = [
        [queryOf(channel, ["order.paid"]), 0],
        [queryOf(channel, ["order.sent"]), 1],
        [queryOf(channel, ["missing"]), undefined],
        [queryOf(channel, ["missing", "order.sent", "order.paid"]), 0],
        [queryOf(channel, ["order.paid"], { key: "b" }), 2],
        [queryOf(channel, ["order.paid"], { key: "" }), 4],
        [queryOf(channel, ["order.paid"], { key: "c" }), undefined],
        [queryOf(channel, ["order.*"], { key: "b" }), 1],
        [queryOf(channel, ["order*"], { startNumber: number(2) }), 3],
        [queryOf(channel, ["*"], { startNumber: number(4) }), 5],
        [queryOf(channel, ["*"], { startNumber: number(5) }), undefined],
        // Neither _ nor % is a wildcard, and a name without a star matches itself only.
        [queryOf(channel, ["order_paid"]), undefined],
        [queryOf(channel, ["other%*"]), undefined],
        [queryOf(channel, ["other_%"]), 5],
        [queryOf(channel, ["other_*"]), 5],
        [queryOf(channel, ["order"]), undefined],
        // A cursor hides the events it covers: those of its name and, if it has one, its key, up to its number.
        [queryOf(channel, ["order.paid"], { cursors: [cursor("order.paid", 0)] }), 2],
        [queryOf(channel, ["order.paid"], { cursors: [cursor("order.paid", 2)] }), 4],
        [queryOf(channel, ["order.paid"], { cursors: [cursor("order.paid", 2, "a")] }), 2],
        [queryOf(channel, ["order.paid"], { cursors: [cursor("order.sent", 5)] }), 0],
        [queryOf(channel, ["order*"], { cursors: [cursor("order.*", 2)] }), 3],
        [queryOf(channel, ["order.paid"], { cursors: [cursor("*", 5)] }), undefined],
        [
          queryOf(channel, ["order.*"], { cursors: [cursor("order.paid", 4), cursor("order.sent", 1, "b")] }),
          undefined,
        ],
        [queryOf(channel, ["order.*"], { cursors: [cursor("order.paid", 4), cursor("order.sent", 1, "a")] }), 1],
        [queryOf(channel, ["order.paid"], { startNumber: number(0), cursors: [cursor("order.paid", 2, "b")] }), 4],
      ];
      const expected = table.map(([, i]) => (i === undefined ? { upTo } : { upTo, event: events[i] }));
      expect(await store.events.lookUp(table.map(([query]) => query))).toEqual(expected);
      expect(await other.events.lookUp([])).toEqual([]);
    });

    it("looks up in several channels at once, even if nothing was emitted", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const empty: Channel = { tenantId, scope: "run", scopeId: "nothing" };
      const filled: Channel = { tenantId, scope: "session", scopeId: "s" };
      const [outcome] = await writer.deliver(eventDelivery(eventOf(filled, { name: "go" })));
      const lookups = await store.events.lookUp([
        queryOf(empty, ["go"]),
        queryOf(filled, ["go"]),
        queryOf(empty, ["*"]),
      ]);
      const [event] = await store.events.list(filled, 0, 1);
      assert(event !== undefined);
      expect(outcome).toEqual({ type: "committed", number: event.number });
      expect(lookups).toEqual([{ upTo: 0 }, { upTo: event.number, event }, { upTo: 0 }]);
      expect(await store.events.readChannels([empty])).toEqual([0]);
    });

    const eventWait = (channel: Channel, names: string[], key?: string) => ({
      asks: "event" as const,
      names,
      scope: channel.scope,
      scope_id: channel.scopeId,
      ...(key === undefined ? {} : { key }),
    });

    it("opens an event wait only while the channel has not moved", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      const [one, two] = [
        await writer.put(startOf({ tenantId, runId: "one" })),
        await writer.put(startOf({ tenantId, runId: "two" })),
      ];
      const [before] = await store.events.lookUp([queryOf(channel, ["go"])]);
      assert(before !== undefined);
      const expectation = { expectChannels: [{ channel, upTo: before.upTo }] };
      const early = await writer.put(waitOf(one, eventWait(channel, ["go"]), expectation));
      await writer.deliver(eventDelivery(eventOf(channel, { name: "unrelated" })));
      const late = waitOf(two, eventWait(channel, ["go"]), expectation);
      const bystander = startOf({ tenantId, runId: "bystander" });
      expect(await writer.commit(late, bystander)).toEqual([channelMoved(), COMMITTED]);
      expect(await store.runs.load([early, late.after, bystander.after].map(keyOf))).toEqual([
        early,
        two,
        bystander.after,
      ]);
      const [opened] = late.openWaits;
      assert(opened !== undefined);
      expect(await store.waits.get(tenantId, opened.wait.wait_id)).toBeUndefined();
      expect(await store.ledger.list(late, 0, ALL)).toHaveLength(1);
      // After it looks up the channel again, it may wait.
      const [again] = await store.events.lookUp([queryOf(channel, ["go"])]);
      assert(again !== undefined);
      expect(again.event).toBeUndefined();
      expect(await writer.commit({ ...late, expectChannels: [{ channel, upTo: again.upTo }] })).toEqual([COMMITTED]);
    });

    it("is not moved by events of another channel", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel: Channel = { tenantId, scope: "session", scopeId: "a" };
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      await store.events.lookUp([queryOf(channel, ["go"])]);
      await writer.deliver(
        eventDelivery(eventOf({ tenantId, scope: "session", scopeId: "b" }, { name: "go" })),
        eventDelivery(eventOf({ tenantId, scope: "run", scopeId: "a" }, { name: "go" })),
      );
      const wait = waitOf(run, eventWait(channel, ["go"]), { expectChannels: [{ channel, upTo: 0 }] });
      expect(await writer.commit(wait)).toEqual([COMMITTED]);
    });

    it("loses no event that is emitted in the batch that opens the wait", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      for (const order of ["emit first", "wait first"]) {
        const run = await writer.put(startOf({ tenantId, runId: order.replace(" ", "-") }));
        const query = queryOf(channel, ["go"], { key: order });
        const [lookup] = await store.events.lookUp([query]);
        assert(lookup !== undefined);
        const wait = waitOf(run, eventWait(channel, ["go"], order), {
          expectChannels: [{ channel, upTo: lookup.upTo }],
        });
        const emit = eventDelivery(eventOf(channel, { name: "go", key: order }));
        const items = [{ type: "delivery" as const, delivery: emit }, groupOf(wait)];
        const outcomes = await writer.commitItems(order === "emit first" ? items : items.toReversed());
        const emitted = outcomes[order === "emit first" ? 0 : 1];
        const waited = outcomes[order === "emit first" ? 1 : 0];
        expect(emitted?.type).toBe("committed");
        // Either the wait is refused, or the listeners of the event include it.
        const listeners = await store.events.listListeners({
          channel,
          events: [{ name: "go", key: order }],
          limit: ALL,
        });
        const found = waited?.type === "committed" ? [run.state.runId] : [];
        expect(["committed", "channel_moved"]).toContain(waited?.type);
        expect(listeners.map((listener) => listener.runId)).toEqual(found);
        expect((await store.events.lookUp([query]))[0]?.event?.key).toBe(order);
      }
    });

    it("lets a transition wait on a channel to which it emits an event", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const [lookup] = await store.events.lookUp([queryOf(channel, ["mine"])]);
      assert(lookup !== undefined);
      // Its own event comes after the number it looked up to. If that refused the transition, it would be decided the
      // same way forever.
      const wait = waitOf(run, eventWait(channel, ["mine"]), {
        expectChannels: [{ channel, upTo: lookup.upTo }],
        events: [eventOf(channel, { name: "mine" })],
      });
      expect(await writer.commit(wait)).toEqual([COMMITTED]);
      const listeners = await store.events.listListeners({
        channel,
        events: [{ name: "mine", key: "" }],
        limit: ALL,
      });
      expect(listeners.map((listener) => listener.runId)).toEqual(["run-1"]);
    });

    it("finds the listeners of events by name, prefix and key, but not those of paused or ended waits", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel = globalOf(tenantId);
      const listen = async (runId: string, on: Channel, names: string[], key?: string) =>
        await writer.put(waitOf(await writer.put(startOf({ tenantId, runId })), eventWait(on, names, key)));
      const paid = await listen("paid", channel, ["order.paid"]);
      await listen("prefix", channel, ["order.*"]);
      await listen("star", channel, ["*"]);
      await listen("keyed", channel, ["order.paid", "order.sent"], "k1");
      await listen("keyless", channel, ["order.paid"], "");
      await listen("odd", channel, ["order_*"]);
      await listen("elsewhere", { tenantId, scope: "session", scopeId: "s" }, ["order.paid"]);
      const paused = await listen("paused", channel, ["order.paid"]);
      const held = await writer.put(stepOf(paused, "run.paused", { paused: true }));
      const woken = await listen("woken", channel, ["order.paid"]);
      await writer.put(answerOf(woken, { closeWaits: [{ ...closingOf(woken), by: "event" }] }));
      await writer.put(waitOf(await writer.put(startOf({ tenantId, runId: "asking" })), { asks: "question" }));

      const runsOf = async (...events: { name: string; key: string }[]): Promise<string[]> =>
        (await store.events.listListeners({ channel, events, limit: ALL }))
          .map((listener) => listener.runId)
          .toSorted();
      expect(await runsOf({ name: "order.paid", key: "" })).toEqual(["keyless", "paid", "prefix", "star"]);
      expect(await runsOf({ name: "order.paid", key: "k1" })).toEqual(["keyed", "paid", "prefix", "star"]);
      expect(await runsOf({ name: "order.sent", key: "k2" })).toEqual(["prefix", "star"]);
      expect(await runsOf({ name: "order.sent", key: "k1" })).toEqual(["keyed", "prefix", "star"]);
      expect(await runsOf({ name: "bill", key: "k1" })).toEqual(["star"]);
      expect(await runsOf({ name: "order_x", key: "" })).toEqual(["odd", "star"]);
      expect(await runsOf({ name: "bill", key: "k1" }, { name: "order.sent", key: "k1" })).toEqual([
        "keyed",
        "prefix",
        "star",
      ]);
      // The key of one pair is not combined with the name of another.
      expect(await runsOf({ name: "order.sent", key: "k2" }, { name: "bill", key: "k1" })).toEqual(["prefix", "star"]);
      expect(await runsOf()).toEqual([]);

      const listeners = await store.events.listListeners({
        channel,
        events: [{ name: "order.paid", key: "k1" }],
        limit: ALL,
      });
      const keyed = listeners.find((listener) => listener.runId === "keyed");
      const { waitId: _waitId, ...shape } = keyed ?? { waitId: "" };
      expect(shape).toEqual({ tenantId, runId: "keyed", names: ["order.paid", "order.sent"], key: "k1" });
      const plain = listeners.find((listener) => listener.runId === "paid");
      expect(plain?.waitId).toBe(closingOf(paid).waitId);
      expect(plain).not.toHaveProperty("key");

      // It listens again once it is unpaused.
      await writer.put(stepOf(held, "run.unpaused", { paused: false }));
      expect(await runsOf({ name: "order.paid", key: "" })).toContain("paused");
    });

    it("pages over listeners in order of wait id", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const channel: Channel = { tenantId, scope: "session", scopeId: "many" };
      const expected: string[] = [];
      for (let i = 0; i < 7; i++) {
        const run = await writer.put(startOf({ tenantId, runId: `run-${i}` }));
        expected.push(closingOf(await writer.put(waitOf(run, eventWait(channel, ["go"])))).waitId);
      }
      // The same id in another scope, or in another tenant, is another channel.
      const strangers: Channel[] = [
        { tenantId, scope: "run", scopeId: "many" },
        { tenantId: bench.tenant(), scope: "session", scopeId: "many" },
      ];
      for (const stranger of strangers) {
        const run = await writer.put(startOf({ tenantId: stranger.tenantId, runId: "stranger" }));
        await writer.put(waitOf(run, eventWait(stranger, ["go"])));
      }
      const seen: string[] = [];
      for (let pages = 0; pages < 10; pages++) {
        const afterWaitId = seen.at(-1);
        const page = await store.events.listListeners({
          channel,
          events: [{ name: "go", key: "" }],
          limit: 3,
          ...(afterWaitId === undefined ? {} : { afterWaitId }),
        });
        expect(page.length).toBeLessThanOrEqual(3);
        if (page.length === 0) break;
        seen.push(...page.map((listener) => listener.waitId));
      }
      expect(seen).toEqual(expected.toSorted());
    });

    it("remembers how far listeners were woken, never backwards", async () => {
      const { store, other, writer } = bench;
      const channel = globalOf(bench.tenant());
      expect(await progressOf(store, channel)).toEqual({ lastNumber: 0, wokenNumber: 0, isHeard: false });
      const drafts = ["a", "b"].map((name) => eventOf(channel, { name }));
      const outcomes = await writer.deliver(...drafts.map(eventDelivery));
      const [first = 0, last = 0] = outcomes.map((outcome) => (outcome.type === "committed" ? outcome.number : 0));
      expect((await progressOf(store, channel)).lastNumber).toBe(last);
      expect((await progressOf(store, channel)).wokenNumber).toBeLessThan(first);
      await store.events.markWoken([{ channel, number: first }]);
      expect(await progressOf(other, channel)).toEqual({ lastNumber: last, wokenNumber: first, isHeard: false });
      await other.events.markWoken([{ channel, number: last }]);
      await store.events.markWoken([{ channel, number: first }]);
      await store.events.markWoken([]);
      expect(await progressOf(store, channel)).toEqual({ lastNumber: last, wokenNumber: last, isHeard: false });
    });

    it("knows which channels have listeners", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const heard = globalOf(tenantId);
      const own: Channel = { tenantId, scope: "run", scopeId: "run-1" };
      const wait: Parameters<typeof waitOf>[1] = {
        asks: "event",
        names: ["go"],
        scope: "global",
        scope_id: heard.scopeId,
      };
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      await writer.deliver(...[heard, own, heard].map((channel) => eventDelivery(eventOf(channel, { name: "go" }))));
      const isHeard = async () => (await store.events.readWoken([own, heard, own])).map((progress) => progress.isHeard);
      expect(await isHeard()).toEqual([false, false, false]);
      const waiting = await writer.put(waitOf(run, wait));
      expect(await isHeard()).toEqual([false, true, false]);
      await writer.put(answerOf(waiting));
      expect(await isHeard()).toEqual([false, false, false]);
      expect(await store.events.readWoken([])).toEqual([]);
    });
  });
}
