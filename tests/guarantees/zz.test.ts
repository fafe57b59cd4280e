import { test, expect } from "vitest";
import { createPostgresStore } from "../../server/src/store/postgres/store.ts";
import { openSharedDatabase } from "../support/engine.ts";
import { openCutProxy } from "./cut-proxy.ts";
test("x", async () => {
  const db = await openSharedDatabase("postgres");
  const proxy = await openCutProxy(db.url);
  const store = await createPostgresStore({ url: proxy.url });
  await store.openServer({ serverId: "a", process: "p", lanes: 1 });
  proxy.cut();
  for (const [name, f] of Object.entries({ commit: () => store.commit({ laneId: 1, batchNo: 1, items: [] }), settle: () => store.settleBatch(1, 1), settle2: () => store.settleBatch(1, 1), commit2: () => store.commit({ laneId: 1, batchNo: 2, items: [] }) })) {
    const t = performance.now();
    const r = await Promise.race([f().then(() => "ok", (e: any) => `${e.constructor.name} ${e.cause}`), new Promise((r) => setTimeout(r, 6000, "HANG"))]);
    process.stderr.write(`(${name} ${r} ${performance.now() - t}\n`);
  }
  expect(1).toBe(1);
  await proxy.close();
}, 60000);
