/** The list of workers shows which are connected, in whatever order the statements about a worker are committed. */
import { describe, expect, test } from "vitest";
import { useTwoServers } from "../guarantees/servers.ts";
import { freshCaller, STORE_KINDS, turn } from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";

describe.each(STORE_KINDS)("the list of workers on %s", (kind) => {
  const servers = useTwoServers(kind);

  test("a worker that says goodbye while its drain is being noted is taken off the list", async () => {
    const { a, b } = servers;
    const caller = freshCaller();
    const worker = await connectTestWorker(a, caller, { toolNames: ["t"] });
    const listed = async () => (await b.engine.listWorkers(caller, { pageSize: 0, pageToken: "" })).workers;
    expect(await listed()).toHaveLength(1);
    const draining = a.hold("workers.save", "before");
    worker.connection.receive({ type: "drain" });
    await draining.reached;
    worker.connection.receive({ type: "goodbye" });
    for (let round = 0; round < 5; round++) await Promise.all([a.store.now(), turn()]);
    draining.release();
    await expect.poll(listed).toEqual([]);
    await a.store.now();
    expect(await listed()).toEqual([]);
  });
});
