/** Workers that are connected. */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { StoredWorker } from "../contract/workers.ts";
import type { OpenBench } from "./bench.ts";
import { openWriter } from "./fixtures.ts";

export function describeWorkers(openBench: OpenBench): void {
  describe("workers", () => {
    const bench = openBench("test");

    function workerOf(
      tenantId: string,
      workerSessionId: string,
      serverId: string,
      worker: Partial<StoredWorker> = {},
    ): Omit<StoredWorker, "connectTime"> {
      return {
        tenantId,
        workerSessionId,
        serverId,
        name: `worker ${workerSessionId}`,
        tools: [],
        workflows: [],
        customTypes: [],
        draining: false,
        ...worker,
      };
    }

    function toolOf(name: string): StoredWorker["tools"][number] {
      return { name, version: "1", description: "ü", inputSchema: '{"type":"object"}', concurrency: 0 };
    }

    it("are listed with everything they registered", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const worker = workerOf(tenantId, "s-1", writer.serverId, {
        actorId: "actor-1",
        tools: [toolOf("pay"), { ...toolOf("mail"), delivery: "at_most_once", concurrency: 3 }],
        workflows: [{ workflowId: "flow", versions: [1, 2] }],
        customTypes: [{ type: "custom", concurrency: 1 }],
      });
      const before = await store.now();
      await store.workers.save(worker);
      const [saved, ...more] = await other.workers.list({ tenantId, limit: 10 });
      expect(more).toEqual([]);
      assert(saved !== undefined);
      const { connectTime, ...rest } = saved;
      expect(rest).toEqual(worker);
      expect(connectTime >= before).toBe(true);
      await store.workers.save(workerOf(tenantId, "s-2", writer.serverId));
      const [plain] = await store.workers.list({ tenantId, start: "s-1", limit: 1 });
      expect(plain).not.toHaveProperty("actorId");
    });

    it("are listed by session, in pages, and by tool", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      for (const [session, tools] of [
        ["s-3", ["pay"]],
        ["s-1", ["pay", "mail"]],
        ["S-4", []],
        ["s-2", ["mail"]],
      ] as const) {
        await store.workers.save(workerOf(tenantId, session, writer.serverId, { tools: tools.map(toolOf) }));
      }
      await store.workers.save(workerOf(bench.tenant(), "s-0", writer.serverId));
      const sessions = async (request: { tool?: string; start?: string; limit: number }): Promise<string[]> =>
        (await store.workers.list({ tenantId, ...request })).map((worker) => worker.workerSessionId);
      expect(await sessions({ limit: 10 })).toEqual(["S-4", "s-1", "s-2", "s-3"]);
      expect(await sessions({ limit: 2 })).toEqual(["S-4", "s-1"]);
      expect(await sessions({ start: "s-1", limit: 2 })).toEqual(["s-2", "s-3"]);
      expect(await sessions({ tool: "pay", limit: 10 })).toEqual(["s-1", "s-3"]);
      expect(await sessions({ tool: "pay", start: "s-1", limit: 10 })).toEqual(["s-3"]);
      expect(await sessions({ tool: "pa", limit: 10 })).toEqual([]);
    });

    it("are replaced by the next connection of their session, and removed only by its server", async () => {
      const { store, other, writer } = bench;
      const tenantId = bench.tenant();
      const second = await openWriter(other);
      await store.workers.save(workerOf(tenantId, "s-1", writer.serverId, { actorId: "a", tools: [toolOf("pay")] }));
      await other.workers.save(workerOf(tenantId, "s-1", second.serverId, { name: "again", tools: [toolOf("mail")] }));
      const [worker, ...more] = await store.workers.list({ tenantId, limit: 10 });
      expect(more).toEqual([]);
      expect(worker).toMatchObject({ name: "again", serverId: second.serverId, tools: [{ name: "mail" }] });
      expect(worker).not.toHaveProperty("actorId");
      expect(await store.workers.list({ tenantId, tool: "pay", limit: 10 })).toEqual([]);
      const key = { tenantId, workerSessionId: "s-1" };
      await store.workers.remove({ ...key, serverId: writer.serverId });
      expect(await store.workers.list({ tenantId, limit: 10 })).toEqual([worker]);
      await other.workers.remove({ ...key, serverId: second.serverId });
      expect(await store.workers.list({ tenantId, limit: 10 })).toEqual([]);
    });

    it("keep their connect time when they drain", async () => {
      const { store, writer } = bench;
      const tenantId = bench.tenant();
      await store.workers.save(workerOf(tenantId, "s-1", writer.serverId));
      const [before] = await store.workers.list({ tenantId, limit: 10 });
      await store.workers.save(workerOf(tenantId, "s-1", writer.serverId, { draining: true }));
      expect(await store.workers.list({ tenantId, limit: 10 })).toEqual([{ ...before, draining: true }]);
    });

    it("go with their server, and servers know the workers of others", async () => {
      const { store, other, writer } = bench;
      const [tenantId, second] = [bench.tenant(), bench.tenant()];
      const doomed = await openWriter(other);
      await store.workers.save(workerOf(tenantId, "s-1", writer.serverId));
      await other.workers.save(workerOf(tenantId, "s-2", doomed.serverId));
      await other.workers.save(workerOf(second, "s-3", doomed.serverId));
      const elsewhere = async (serverId: string, limit: number): Promise<string[]> =>
        (await store.workers.listElsewhere(serverId, limit)).map((worker) => worker.workerSessionId).toSorted();
      expect(await elsewhere(writer.serverId, 10)).toEqual(["s-2", "s-3"]);
      expect(await elsewhere(writer.serverId, 1)).toHaveLength(1);
      expect(await elsewhere(doomed.serverId, 10)).toEqual(["s-1"]);
      await store.lanes.end(doomed.serverId);
      expect(await elsewhere(writer.serverId, 10)).toEqual([]);
      // From a server that does not yet know that its lease has ended.
      await other.workers.save(workerOf(tenantId, "s-4", doomed.serverId));
      expect((await store.workers.list({ tenantId, limit: 10 })).map((worker) => worker.workerSessionId)).toEqual([
        "s-1",
      ]);
      expect(await elsewhere(writer.serverId, 10)).toEqual([]);
    });
  });
}
