/** Mail, and work that was left undone. */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { Channel } from "../../core/event.ts";
import { BatchRejectedError } from "../contract/errors.ts";
import { MAIL_BYTES_MAX, MAIL_LETTERS_MAX } from "../contract/mail.ts";
import type { RunKey, StoredRun } from "../contract/runs.ts";
import { ALL, COMMITTED, HOUR_MS, type OpenBench, keyOf, load } from "./bench.ts";
import {
  assignOf,
  conflictOf,
  endOf,
  eventDelivery,
  eventOf,
  mailDelivery,
  openWriter,
  startOf,
  stepOf,
} from "./fixtures.ts";

export function describeMail(openBench: OpenBench): void {
  describe("mail", () => {
    const bench = openBench("group");

    it("is delivered without touching the run, and kept until a transition has acted on it", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const neighbour = await writer.put(startOf({ tenantId, runId: "run-2" }));
      const outcomes = await writer.deliver(
        mailDelivery(keyOf(run), { kind: "pause", body: { actor_id: "ann", reason: "lunch" } }),
        mailDelivery(keyOf(neighbour), "cancel"),
        mailDelivery(keyOf(run), "unpause"),
      );
      expect(outcomes).toEqual([COMMITTED, COMMITTED, COMMITTED]);
      expect(await load(store, keyOf(run))).toEqual(run);
      const mail = await other.mail.list([keyOf(run)]);
      const shapes = mail.map(({ mailId: _mailId, ...rest }) => rest);
      expect(shapes).toEqual([
        { tenantId, runId: "run-1", kind: "pause", body: { actor_id: "ann", reason: "lunch" } },
        { tenantId, runId: "run-1", kind: "unpause", body: {} },
      ]);
      expect((await store.mail.list([keyOf(neighbour), keyOf(run)])).length).toBe(3);
      expect(await store.mail.list([])).toEqual([]);
      expect(await store.mail.list([{ tenantId: bench.tenant(), runId: "run-1" }])).toEqual([]);

      const [pause, unpause] = mail.map((item) => item.mailId);
      assert(pause !== undefined && unpause !== undefined);
      const paused = stepOf(run, "run.paused", { paused: true }, { consumedMail: [pause] });
      await writer.put(paused);
      expect((await store.mail.list([keyOf(run)])).map((item) => item.mailId)).toEqual([unpause]);
      expect(await store.mail.list([keyOf(neighbour)])).toHaveLength(1);
    });

    it("stays if the transition that acted on it lost the race", async () => {
      const { store, writer } = bench;
      const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      await writer.deliver(mailDelivery(keyOf(run), "cancel"));
      await writer.put(assignOf(run, "x", 1));
      const [mail] = await store.mail.list([keyOf(run)]);
      assert(mail !== undefined);
      expect(await writer.commit(stepOf(run, "run.cancelled", {}, { consumedMail: [mail.mailId] }))).toEqual([
        conflictOf("seq"),
      ]);
      expect(await store.mail.list([keyOf(run)])).toEqual([mail]);
    });

    it("is acted on once: without it the transition is a conflict, and its neighbours commit", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      const neighbour = await writer.put(startOf({ tenantId, runId: "run-2" }));
      const deliveries = ["pause", "unpause"] as const;
      await writer.deliver(...deliveries.map((kind) => mailDelivery(keyOf(run), kind)));
      await writer.deliver(mailDelivery(keyOf(neighbour), "pause"));
      const [first, second] = await store.mail.list([keyOf(run)]);
      const [others] = await store.mail.list([keyOf(neighbour)]);
      assert(first !== undefined && second !== undefined && others !== undefined);
      const after = await writer.put(assignOf(run, "x", 1, { consumedMail: [first.mailId] }));

      const channel: Channel = { tenantId, scope: "global", scopeId: "" };
      const late = assignOf(after, "x", 2, {
        consumedMail: [first.mailId, second.mailId],
        events: [eventOf(channel, { name: "late" })],
      });
      const own = assignOf(neighbour, "x", 2, { consumedMail: [others.mailId] });
      expect(await writer.commit(late, own)).toEqual([conflictOf("mail"), COMMITTED]);
      expect(await store.runs.load([keyOf(run), keyOf(neighbour)])).toEqual([after, own.after]);
      expect(await store.events.list(channel, 0, ALL)).toEqual([]);
      // Nothing of it was committed: the mail that was there remains.
      expect(await store.mail.list([keyOf(run), keyOf(neighbour)])).toEqual([second]);

      const stolen = assignOf(own.after, "x", 3, { consumedMail: [second.mailId] });
      expect(await writer.commit(stolen)).toEqual([conflictOf("mail")]);
      expect(await store.mail.list([keyOf(run)])).toEqual([second]);
      await writer.put(assignOf(after, "x", 3, { consumedMail: [second.mailId] }));
      expect(await store.mail.list([keyOf(run)])).toEqual([]);
    });

    it("has any kind of 1 to 64 characters, and any body", async () => {
      const { store, writer } = bench;
      const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      const letters = [
        { kind: "k".repeat(64), body: null },
        { kind: "child.ended", body: { "": [1.5, "\u2028\n", { deep: false }] } },
      ];
      await writer.deliver(...letters.map((letter) => mailDelivery(keyOf(run), letter)));
      const mail = await store.mail.list([keyOf(run)]);
      expect(mail.map(({ kind, body }) => ({ kind, body }))).toEqual(letters);
      for (const kind of ["", "k".repeat(65)]) {
        await expect(writer.deliver(mailDelivery(keyOf(run), kind))).rejects.toThrow(BatchRejectedError);
        const sends = assignOf(run, "x", 1, { mail: [{ ...keyOf(run), kind, body: {} }] });
        await expect(writer.commit(sends)).rejects.toThrow(BatchRejectedError);
      }
    });

    it("is read from the first letter on, up to a number and a size for each run", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const [many, large, huge] = ["many", "large", "huge"].map((runId) => ({ tenantId, runId }));
      const read = async (key: RunKey) => (await store.mail.list([key])).map(({ kind }) => kind);
      const kinds = Array.from({ length: MAIL_LETTERS_MAX + 1 }, (_, i) => `letter-${i}`);
      await writer.deliver(...kinds.map((kind) => mailDelivery(many!, kind)));
      expect(await read(many!)).toEqual(kinds.slice(0, MAIL_LETTERS_MAX));
      // With its quotes, a body of exactly half of the limit.
      const half = "x".repeat(MAIL_BYTES_MAX / 2 - 2);
      const bodies = { first: half, second: half, third: "", fourth: "" };
      for (const [kind, body] of Object.entries(bodies)) await writer.deliver(mailDelivery(large!, { kind, body }));
      expect(await read(large!)).toEqual(["first", "second"]);
      const beyond = { first: `${half}ü`, second: half, third: "" };
      for (const [kind, body] of Object.entries(beyond)) await writer.deliver(mailDelivery(huge!, { kind, body }));
      expect(await read(huge!)).toEqual(["first"]);
      await writer.deliver(mailDelivery({ tenantId, runId: "one" }, { kind: "huge", body: half + half + half }));
      expect(await read({ tenantId, runId: "one" })).toEqual(["huge"]);
      expect(await store.mail.list([many!, huge!])).toHaveLength(MAIL_LETTERS_MAX + 1);
    });

    it("is read of the kinds that a reader knows: letters of other kinds do not stand in their way", async () => {
      const { store, writer } = bench;
      const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      const kinds = ["known", "known-too"];
      const strays = async () => (await store.mail.findStrays(0, 10, kinds)).mailed;
      await writer.deliver(...Array.from({ length: MAIL_LETTERS_MAX }, () => mailDelivery(keyOf(run), "unknown")));
      expect(await strays()).toEqual([]);
      await writer.deliver(mailDelivery(keyOf(run), "known"));
      expect((await store.mail.list([keyOf(run)], kinds)).map(({ kind }) => kind)).toEqual(["known"]);
      expect(await store.mail.list([keyOf(run)])).toHaveLength(MAIL_LETTERS_MAX);
      expect(await strays()).toEqual([keyOf(run)]);
      expect(await store.mail.list([keyOf(run)], [])).toEqual([]);
    });

    it("is acted on by one of two servers, even if nothing else of the run changes", async () => {
      const { store, other, writer } = bench;
      const otherWriter = await openWriter(other);
      const run = await writer.put(startOf({ tenantId: bench.tenant(), runId: "run-1" }));
      for (let round = 0; round < 10; round++) {
        await writer.deliver(mailDelivery(keyOf(run), "pause"));
        const consumedMail = (await store.mail.list([keyOf(run)])).map((mail) => mail.mailId);
        const taken = { ...startOf(keyOf(run)), expectedSeq: 1, rowSeq: 1, after: run, records: [], consumedMail };
        const outcomes = (await Promise.all([writer.commit(taken), otherWriter.commit(taken)])).flat();
        expect(new Set(outcomes.map(({ type }) => type))).toEqual(new Set(["committed", "conflict"]));
        expect(await store.mail.list([keyOf(run)])).toEqual([]);
      }
    });
  });

  describe("strays", () => {
    const bench = openBench("test");

    it("finds mail that no transition has acted on for some time", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      expect(await store.mail.findStrays(0, 10)).toEqual({ mailed: [], channels: [] });
      const runs: StoredRun[] = [];
      for (const runId of ["b", "a", "c"]) runs.push(await writer.put(startOf({ tenantId, runId })));
      for (const run of runs) await writer.deliver(mailDelivery(keyOf(run), "cancel"));
      const [first, second, third] = runs;
      assert(first !== undefined && second !== undefined && third !== undefined);
      await writer.deliver(mailDelivery(keyOf(first), "pause"));
      expect((await other.mail.findStrays(0, 10)).mailed).toEqual(runs.map(keyOf));
      expect((await other.mail.findStrays(0, 2)).mailed).toEqual([keyOf(first), keyOf(second)]);
      expect((await other.mail.findStrays(HOUR_MS, 10)).mailed).toEqual([]);
      const consumedMail = (await store.mail.list([keyOf(second)])).map((mail) => mail.mailId);
      await writer.put(assignOf(second, "x", 1, { consumedMail }));
      expect((await store.mail.findStrays(0, 10)).mailed).toEqual([keyOf(first), keyOf(third)]);
      // Whoever reads the mail of an ended run takes it away; mail to a run that does not exist has no reader.
      await writer.put(endOf(third, null));
      await writer.deliver(mailDelivery({ tenantId, runId: "nobody" }, "cancel"));
      expect((await store.mail.findStrays(0, 10)).mailed).toEqual([keyOf(first), keyOf(third)]);
    });

    it("finds channels whose listeners have not all been woken", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      const one: Channel = { tenantId, scope: "session", scopeId: "one" };
      const two: Channel = { tenantId, scope: "global", scopeId: "" };
      const quiet: Channel = { tenantId, scope: "run", scopeId: "quiet" };
      await store.events.lookUp([{ channel: quiet, names: ["go"], startNumber: 0, cursors: [] }]);
      await writer.deliver(eventDelivery(eventOf(one, { name: "go" })));
      const run = await writer.put(startOf({ tenantId, runId: "run-1" }));
      await writer.put(assignOf(run, "x", 1, { events: [eventOf(two, { name: "go" }), eventOf(two, { name: "go" })] }));
      const channels = async (limit = 10) => (await store.mail.findStrays(0, limit)).channels;
      const byScope = (list: Channel[]) => list.toSorted((a, b) => (a.scope < b.scope ? -1 : 1));
      expect(byScope(await channels())).toEqual(byScope([one, two]));
      expect(await channels(1)).toHaveLength(1);
      const [first] = await store.events.list(two, 0, 1);
      const [lastOne = 0, lastTwo = 0] = await store.events.readChannels([one, two]);
      await store.events.markWoken([
        { channel: one, number: lastOne },
        { channel: two, number: first?.number ?? 0 },
      ]);
      expect(await channels()).toEqual([two]);
      await store.events.markWoken([{ channel: two, number: lastTwo }]);
      expect(await channels()).toEqual([]);
    });
  });
}
