/** Workflows and their versions. */
import { describe, expect, it } from "vitest";
import type { Store } from "../contract/store.ts";
import { ALL, type OpenBench } from "./bench.ts";
import { definitionOf, digestOf } from "./fixtures.ts";

export function describeWorkflows(openBench: OpenBench): void {
  describe("workflows", () => {
    const bench = openBench("group");

    it("registers versions under their digests, once each", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      const definition = definitionOf("expense", "ü");
      const first = await store.workflows.register({ tenantId, digest: digestOf("1"), definition });
      const facts = { tenantId, workflowId: "expense", digest: digestOf("1"), definition, version: 1 };
      expect(first).toEqual({ ...facts, createTime: first.createTime, current: true, archived: false });
      expect(first.createTime).toMatch(/\.\d{6}Z$/);
      const changed = { ...definition, description: "a description does not change the digest" };
      expect(await other.workflows.register({ tenantId, digest: digestOf("1"), definition: changed })).toEqual(first);
      expect(await other.workflows.get(tenantId, "expense", 1)).toEqual(first);
      const repair = { tenantId, digest: digestOf("1"), isRepair: true };
      expect(await other.workflows.register({ ...repair, definition: changed })).toEqual({
        ...first,
        definition: changed,
      });
      expect(await other.workflows.register({ ...repair, definition })).toEqual(first);
      const second = await other.workflows.register({ tenantId, digest: digestOf("2"), definition: changed });
      expect(second).toMatchObject({ version: 2, current: true, definition: changed });
      const again = await store.workflows.register({ tenantId, digest: digestOf("1"), definition });
      expect(again).toEqual({ ...first, current: false });
      expect(await store.workflows.get(tenantId, "expense", 0)).toEqual(second);
    });

    it("gives one version to a definition that two servers register at once", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      const register = (on: Store, digest: string) =>
        on.workflows.register({ tenantId, digest: digestOf(digest), definition: definitionOf("race", digest) });
      const registered = await Promise.all([
        register(store, "a"),
        register(other, "a"),
        register(store, "b"),
        register(other, "b"),
      ]);
      const versions = registered.map((workflow) => workflow.version);
      expect(versions[0]).toBe(versions[1]);
      expect(versions[2]).toBe(versions[3]);
      expect(new Set(versions)).toEqual(new Set([1, 2]));
    });

    it("numbers versions per workflow and tenant", async () => {
      const { store } = bench;
      const [one, two] = [bench.tenant(), bench.tenant()];
      const register = (tenantId: string, workflowId: string, digest: string) =>
        store.workflows.register({
          tenantId,
          digest: digestOf(digest),
          definition: definitionOf(workflowId, digest),
        });
      expect((await register(one, "a", "a1")).version).toBe(1);
      expect((await register(one, "b", "b1")).version).toBe(1);
      expect((await register(one, "a", "a2")).version).toBe(2);
      expect((await register(two, "a", "a2")).version).toBe(1);
      expect(await store.workflows.get(two, "b", 0)).toBeUndefined();
      expect(await store.workflows.get(two, "a", 2)).toBeUndefined();
      expect((await store.workflows.get(one, "a", 2))?.digest).toBe(digestOf("a2"));
    });

    it("follows the highest version unless another one is set", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      const register = (digest: string) =>
        store.workflows.register({ tenantId, digest: digestOf(digest), definition: definitionOf("flow", digest) });
      const currentVersion = async () => (await other.workflows.get(tenantId, "flow", 0))?.version;
      await register("1");
      await register("2");
      expect(await store.workflows.setCurrentVersion(tenantId, "flow", 1)).toMatchObject({
        version: 1,
        current: true,
      });
      expect(await currentVersion()).toBe(1);
      expect((await store.workflows.get(tenantId, "flow", 2))?.current).toBe(false);
      expect(await register("3")).toMatchObject({ version: 3, current: false });
      expect(await currentVersion()).toBe(1);
      expect(await store.workflows.setCurrentVersion(tenantId, "flow", 9)).toBeUndefined();
      expect(await store.workflows.setCurrentVersion(tenantId, "missing", 1)).toBeUndefined();
      expect(await store.workflows.setCurrentVersion(tenantId, "missing", 0)).toBeUndefined();
      expect(await currentVersion()).toBe(1);
      expect(await store.workflows.setCurrentVersion(tenantId, "flow", 0)).toMatchObject({
        version: 3,
        current: true,
      });
      await register("4");
      expect(await currentVersion()).toBe(4);
    });

    it("archives a workflow with all its versions, and restores it", async () => {
      const { store, other } = bench;
      const tenantId = bench.tenant();
      for (const digest of ["1", "2"]) {
        await store.workflows.register({
          tenantId,
          digest: digestOf(digest),
          definition: definitionOf("flow", digest),
        });
      }
      expect(await store.workflows.setArchived(tenantId, "flow", true)).toMatchObject({
        version: 2,
        archived: true,
        current: true,
      });
      expect(await other.workflows.get(tenantId, "flow", 0)).toMatchObject({ version: 2, archived: true });
      expect(await other.workflows.get(tenantId, "flow", 1)).toMatchObject({ version: 1, archived: true });
      expect(await store.workflows.list({ tenantId, includeArchived: false, limit: 10 })).toEqual([]);
      expect(await store.workflows.list({ tenantId, includeArchived: true, limit: 10 })).toHaveLength(1);
      expect(await store.workflows.setArchived(tenantId, "missing", true)).toBeUndefined();
      expect(await store.workflows.setArchived(tenantId, "flow", false)).toMatchObject({
        version: 2,
        archived: false,
      });
      expect(await store.workflows.list({ tenantId, includeArchived: false, limit: 10 })).toHaveLength(1);
    });

    it("lists the current version of each workflow by id, and the versions of one, newest first", async () => {
      const { store } = bench;
      const tenantId = bench.tenant();
      const ids = ["b", "B", "a", "a-b", "a.b", "aB", "A1"];
      for (const id of ids) {
        for (const digest of ["1", "2", "3"]) {
          const definition = definitionOf(id, digest);
          await store.workflows.register({ tenantId, digest: digestOf(id + digest), definition });
        }
      }
      await store.workflows.setCurrentVersion(tenantId, "a", 2);
      await store.workflows.setArchived(tenantId, "aB", true);
      const whole = await store.workflows.list({ tenantId, includeArchived: true, limit: ALL });
      // By code units, as every id in this system is compared.
      expect(whole.map((workflow) => workflow.workflowId)).toEqual(ids.toSorted());
      expect(whole.every((workflow) => workflow.current)).toBe(true);
      expect(whole.find((workflow) => workflow.workflowId === "a")?.version).toBe(2);
      const seen: string[] = [];
      for (let pages = 0; pages < ALL; pages++) {
        const start = seen.at(-1);
        const request = { tenantId, includeArchived: false, limit: 2, ...(start === undefined ? {} : { start }) };
        const page = await store.workflows.list(request);
        if (page.length === 0) break;
        seen.push(...page.map((workflow) => workflow.workflowId));
      }
      expect(seen).toEqual(ids.toSorted().filter((id) => id !== "aB"));
      const versions = async (start?: number) => {
        const request = { tenantId, workflowId: "a", includeArchived: true, limit: 2 };
        const page = await store.workflows.list({ ...request, ...(start === undefined ? {} : { start }) });
        return page.map((workflow) => [workflow.version, workflow.current]);
      };
      expect(await versions()).toEqual([
        [3, false],
        [2, true],
      ]);
      expect(await versions(2)).toEqual([[1, false]]);
      expect(await versions(1)).toEqual([]);
    });
  });
}
