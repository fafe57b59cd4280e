import { expect, test } from "vitest";
import type { RunState } from "../../core/run.ts";
import { type JobStanding, STANDING_PLACES_MAX } from "../../store/contract/standings.ts";
import { jobReasonOf } from "./job-reason.ts";
import { sessionText, type WorkerPool } from "./pool.ts";
import { type Session, servedQueues } from "./session.ts";

const RUN = { tenantId: "t", version: 1 } as RunState;

/** A worker of this server that takes this many more jobs. */
function workerWith(credit: number): Session {
  return {
    tenantId: "t",
    workerSessionId: "w",
    link: { send: () => undefined, end: () => undefined },
    serves: servedQueues("t", { tools: [{ name: "pay", concurrency: 0 }], workflows: [], customTypes: [] }),
    credit,
    isDraining: false,
    isQuiet: false,
    inFlight: new Map(),
  } as unknown as Session;
}

const FIRST = "It is the first in its queue.";
const ELSEWHERE = "Workers of other servers serve tool `pay`; this server does not know whether they have room.";

test.each<[what: string, here: Session[], isElsewhere: boolean, place: number, kind: string, message: string]>([
  ["no worker", [], false, 1, "no_worker", "No worker that serves tool `pay` is connected."],
  [
    "a worker here without room",
    [workerWith(0)],
    false,
    1,
    "no_credit",
    `${FIRST} No worker that serves tool \`pay\` has room for more jobs.`,
  ],
  ["a worker here with room", [workerWith(1)], false, 1, "queue", "It is about to be given to a worker."],
  ["workers elsewhere", [], true, 1, "queue", `${FIRST} ${ELSEWHERE}`],
  [
    "workers elsewhere, and one here without room",
    [workerWith(0)],
    true,
    1,
    "queue",
    `${FIRST} No worker of this server that serves tool \`pay\` has room for more jobs. ${ELSEWHERE}`,
  ],
  [
    "workers elsewhere, and one here with room",
    [workerWith(1)],
    true,
    1,
    "queue",
    "It is about to be given to a worker.",
  ],
  ["workers elsewhere, and a later place", [], true, 3, "queue", "2 jobs are ahead of it in its queue."],
  [
    "a place that is not counted",
    [workerWith(0)],
    false,
    STANDING_PLACES_MAX + 1,
    "queue",
    "1000 or more jobs are ahead of it in its queue.",
  ],
])("an open job with %s", (_what, here, isElsewhere, queuePlace, kind, message) => {
  const pool = { sessions: new Map(here.map((one) => [sessionText("t", "w"), one])) } as unknown as WorkerPool;
  const elsewhere = { read: () => Promise.resolve(), clear: () => undefined, serve: () => isElsewhere };
  const job = { kind: "tool", name: "pay", state: "open", held: false, attempt: 1, queuePlace } as JobStanding;
  expect(jobReasonOf({ pool, elsewhere, serverId: "s" }, RUN, job)).toMatchObject({ kind, message });
});
