/** Groups: transitions of several runs that commit all or nothing. */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { Channel } from "../../core/event.ts";
import { GROUP_TRANSITIONS_MAX, type ItemOutcome, type Transition } from "../contract/batch.ts";
import type { RunKey, StoredRun } from "../contract/runs.ts";
import { ALL, type Bench, COMMITTED, keyOf, load, type OpenBench } from "./bench.ts";
import {
  assignOf,
  channelMoved,
  conflictOf,
  endOf,
  eventDelivery,
  eventOf,
  groupOf,
  jobOf,
  mailDelivery,
  openWriter,
  startOf,
  stepOf,
  waitOf,
} from "./fixtures.ts";

/** Large enough for a member of vars to have its own row. */
const LARGE = "x".repeat(3_000);

const channelOf = (tenantId: string, scopeId = ""): Channel => ({ tenantId, scope: "session", scopeId });

/** A step that leaves the run's row behind its ledger. */
function leftOf(before: StoredRun, ownerLane: number): Transition {
  const body = { status: "completed" as const, patch: [{ op: "set" as const, path: "/n", value: 1 }] };
  return stepOf(before, "step.completed", body, { ownerLane, isLeft: true, time: before.state.updateTime });
}

/** Why a transition is refused, and how to make one that is. */
type Refusal = {
  what: string;
  outcomeAt: (place: number) => ItemOutcome;
  make: (bench: Bench, tenantId: string) => Promise<Transition>;
};

const REFUSALS: readonly Refusal[] = [
  {
    what: "its seq is not the run's",
    outcomeAt: (place) => conflictOf("seq", place),
    async make({ writer }, tenantId) {
      const stale = await writer.put(startOf({ tenantId, runId: "stale", vars: { large: LARGE } }));
      await writer.put(assignOf(stale, "x", 1));
      return assignOf(stale, "large", `${LARGE}!`);
    },
  },
  {
    what: "its place in the ledger is taken",
    outcomeAt: (place) => conflictOf("record", place),
    async make({ writer }, tenantId) {
      const start = await writer.put(startOf({ tenantId, runId: "ahead" }, { ownerLane: writer.laneId }));
      await writer.put(leftOf(start, writer.laneId));
      return leftOf(start, writer.laneId);
    },
  },
  {
    what: "the id of its run is taken",
    outcomeAt: (place) => conflictOf("run_exists", place),
    async make({ writer }, tenantId) {
      await writer.put(startOf({ tenantId, runId: "child" }));
      return startOf({ tenantId, runId: "child", vars: { large: LARGE } });
    },
  },
  {
    what: "the id of its run was deleted",
    outcomeAt: (place) => conflictOf("run_exists", place),
    async make({ store, writer }, tenantId) {
      const gone = await writer.put(startOf({ tenantId, runId: "gone" }));
      await writer.put(endOf(gone, null));
      expect(await store.runs.delete(keyOf(gone))).toBe(true);
      return startOf({ tenantId, runId: "gone" });
    },
  },
  {
    what: "a channel moved",
    outcomeAt: channelMoved,
    async make({ writer }, tenantId) {
      const run = await writer.put(startOf({ tenantId, runId: "listener" }));
      const [still, moved] = [channelOf(tenantId, "still"), channelOf(tenantId, "moved")];
      await writer.deliver(eventDelivery(eventOf(moved, { name: "go" })));
      const expectChannels = [still, moved].map((channel) => ({ channel, upTo: 0 }));
      return waitOf(run, { asks: "question" }, { expectChannels });
    },
  },
  {
    what: "its mail is gone",
    outcomeAt: (place) => conflictOf("mail", place),
    async make({ store, writer }, tenantId) {
      const run = await writer.put(startOf({ tenantId, runId: "mailed" }));
      for (const kind of ["first", "second"]) await writer.deliver(mailDelivery(keyOf(run), kind));
      const consumedMail = (await store.mail.list([keyOf(run)])).map(({ mailId }) => mailId);
      const after = await writer.put(assignOf(run, "x", 1, { consumedMail: consumedMail.slice(0, 1) }));
      return assignOf(after, "x", 2, { consumedMail });
    },
  },
  {
    what: "the lease of its job is lost",
    outcomeAt: (place) => conflictOf("job", place),
    async make({ writer }, tenantId) {
      const run = await writer.put(startOf({ tenantId, runId: "working" }, { jobs: [jobOf("lost"), jobOf("held")] }));
      const settledJobs = ["held", "lost"].map((idempotencyKey) => ({
        idempotencyKey,
        leaseNo: idempotencyKey === "lost" ? 1 : 0,
      }));
      return assignOf(run, "x", 1, { settledJobs });
    },
  },
];

/** Transitions of all kinds that are not refused and that write rows of all kinds. */
async function makeMembers({ store, writer }: Bench, tenantId: string): Promise<Transition[]> {
  const parent = await writer.put(
    startOf({ tenantId, runId: "parent", vars: { large: LARGE, n: 0 } }, { jobs: [jobOf("done"), jobOf("cancelled")] }),
  );
  const active = await writer.put(startOf({ tenantId, runId: "active" }, { ownerLane: writer.laneId }));
  await writer.deliver(mailDelivery(keyOf(parent), "read"));
  const consumedMail = (await store.mail.list([keyOf(parent)])).map(({ mailId }) => mailId);
  const third = { tenantId, runId: "third" };
  return [
    waitOf(
      parent,
      { asks: "question" },
      {
        consumedMail,
        settledJobs: [{ idempotencyKey: "done", leaseNo: 0 }],
        cancelJobs: true,
        jobs: [jobOf("new")],
        notices: [{ kind: "waiting", seq: 2 }],
        events: [eventOf(channelOf(tenantId), { name: "started" })],
        mail: [
          { ...third, kind: "hello", body: { from: "parent" } },
          { ...third, kind: "hello", body: [1, null, LARGE] },
        ],
      },
    ),
    startOf(
      { tenantId, runId: "child-1", vars: { large: LARGE } },
      { jobs: [jobOf("child")], notices: [{ kind: "started", seq: 1 }], ownerLane: writer.laneId },
    ),
    leftOf(active, writer.laneId),
  ];
}

export function describeGroups(openBench: OpenBench): void {
  describe("groups", () => {
    const bench = openBench("group");

    it("start runs and send mail in another run's transition, and commit whole", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const third = await writer.put(startOf({ tenantId, runId: "third" }));
      const parent = await writer.put(startOf({ tenantId, runId: "parent" }));
      const children = ["child-1", "child-2"].map((runId) => startOf({ tenantId, runId, parentRunId: "parent" }));
      const step = assignOf(parent, "started", 2, {
        mail: [
          { ...keyOf(third), kind: "child.started", body: { run_id: "child-1" } },
          { ...keyOf(third), kind: "child.started", body: "child-2" },
        ],
      });
      const others = [startOf({ tenantId, runId: "before" }), startOf({ tenantId, runId: "after" })] as const;
      const batchNo = writer.batchNo();
      expect(await writer.commitItems([groupOf(others[0]), groupOf(...children, step), groupOf(others[1])])).toEqual([
        COMMITTED,
        COMMITTED,
        COMMITTED,
      ]);
      const written = [others[0], ...children, step, others[1]];
      expect(await other.runs.load(written)).toEqual(written.map(({ after }) => after));
      const mail = await other.mail.list([keyOf(third)]);
      expect(mail.map(({ kind, body }) => ({ kind, body }))).toEqual(
        step.mail.map(({ kind, body }) => ({ kind, body })),
      );
      // The log of hashes lists them in the order of the batch.
      const request = { tenantId, laneId: writer.laneId, afterBatchNo: batchNo, limit: ALL };
      expect(await store.batches.list(request)).toEqual([
        {
          tenantId,
          laneId: writer.laneId,
          batchNo: batchNo + 1,
          runs: written.map(({ runId, records }) => ({
            runId,
            firstSeq: records[0]!.seq,
            hashes: records.map(({ hash }) => hash),
          })),
        },
      ]);
    });

    describe.each(REFUSALS)("of which one is refused because $what", ({ outcomeAt, make }) => {
      it.each([0, 1, 2, 3])("leave no row if transition %i is refused, and their neighbours commit", async (place) => {
        const { writer } = bench;
        const tenantId = bench.tenant();
        const members = await makeMembers(bench, tenantId);
        const guilty = await make(bench, tenantId);
        const neighbours = [
          startOf({ tenantId: bench.tenant(), runId: "n" }),
          startOf({ tenantId: bench.tenant(), runId: "n" }),
        ];
        const rows = await bench.readRows(tenantId);
        expect(
          await writer.commitItems([
            groupOf(neighbours[0]!),
            groupOf(...members.toSpliced(place, 0, guilty)),
            groupOf(neighbours[1]!),
          ]),
        ).toEqual([COMMITTED, outcomeAt(place), COMMITTED]);
        expect(await bench.readRows(tenantId)).toEqual(rows);
        expect(await bench.store.runs.load(neighbours)).toEqual(neighbours.map(({ after }) => after));
        for (const { tenantId: neighbour } of neighbours) {
          const request = { tenantId: neighbour, laneId: writer.laneId, afterBatchNo: 0, limit: ALL };
          expect(await bench.store.batches.list(request)).toMatchObject([{ runs: [{ runId: "n", firstSeq: 1 }] }]);
        }
        // Without the refused transition the whole group commits.
        expect(await writer.commitItems([groupOf(...members)])).toEqual([COMMITTED]);
        expect(await bench.store.runs.load(members)).toEqual(members.map(({ after }) => after));
        expect(await bench.readRows(tenantId)).not.toEqual(rows);
      });
    });

    it("name the first transition that is refused, in the order in which the store checks", async () => {
      const { writer } = bench;
      const tenantId = bench.tenant();
      const guilty: Transition[] = [];
      for (const { make } of REFUSALS.toReversed()) guilty.push(await make(bench, tenantId));
      const causes: unknown[] = [];
      // Each refused transition is left out of the next attempt.
      for (let rest = guilty.map((transition, place) => ({ transition, place })); rest.length > 0;) {
        const [outcome] = await writer.commitItems([groupOf(...rest.map(({ transition }) => transition))]);
        assert(outcome !== undefined && "transition" in outcome);
        causes.push(outcome.type === "conflict" ? outcome.cause : outcome.type);
        rest = rest.toSpliced(outcome.transition, 1);
      }
      expect(causes).toEqual(["channel_moved", "mail", "job", "seq", "record", "run_exists", "run_exists"]);
    });

    it("name a start whose id is taken before one whose id was deleted", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await writer.put(startOf({ tenantId, runId: "taken" }));
      const gone = await writer.put(startOf({ tenantId, runId: "gone" }));
      await writer.put(endOf(gone, null));
      expect(await store.runs.delete(keyOf(gone))).toBe(true);
      const starts = ["gone", "free", "taken"].map((runId) => startOf({ tenantId, runId }));
      expect(await writer.commitItems([groupOf(...starts)])).toEqual([conflictOf("run_exists", 2)]);
      expect(await store.runs.load(starts.slice(0, 2))).toEqual([undefined, undefined]);
    });

    it("of two servers that start the same runs, one commits, and the other leaves nothing", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const otherWriter = await openWriter(other);
      const writers = [writer, otherWriter];
      for (let round = 0; round < 10; round++) {
        const ids = ["a", "b"].map((id) => `${id}-${round}`);
        const groups = [ids, ids.toReversed()].map((runIds, server) => [
          startOf({ tenantId, runId: `own-${server}-${round}` }),
          ...runIds.map((runId) => startOf({ tenantId, runId, vars: { server } })),
        ]);
        const outcomes = await Promise.all(
          groups.map((group, server) => writers[server]!.commitItems([groupOf(...group)])),
        );
        const winner = outcomes.findIndex(([outcome]) => outcome?.type === "committed");
        expect(outcomes[1 - winner]).toEqual([conflictOf("run_exists", 1)]);
        const won: RunKey[] = groups[winner]!;
        const lost: RunKey = groups[1 - winner]![0]!;
        expect((await store.runs.load(won)).map((run) => run?.headHash)).toEqual(
          groups[winner]!.map(({ after }) => after.headHash),
        );
        expect(await store.runs.load([lost])).toEqual([undefined]);
        expect(await store.ledger.list(lost, 0, ALL)).toEqual([]);
      }
    });

    it("take as many transitions as allowed, and each run once in a batch", async () => {
      const { writer } = bench;
      const tenantId = bench.tenant();
      const starts = Array.from({ length: GROUP_TRANSITIONS_MAX }, (_, i) => startOf({ tenantId, runId: `run-${i}` }));
      const one = startOf({ tenantId, runId: "one" });
      await expect(writer.commitItems([groupOf(...starts, one)])).rejects.toThrow("1 to 256 transitions");
      await expect(writer.commitItems([groupOf()])).rejects.toThrow("1 to 256 transitions");
      await expect(writer.commitItems([groupOf(one), groupOf(starts[0]!, one)])).rejects.toThrow("at most once");
      expect(await writer.commitItems([groupOf(...starts)])).toEqual([COMMITTED]);
      expect(await load(bench.store, starts.at(-1)!)).toEqual(starts.at(-1)!.after);
    });
  });
}
