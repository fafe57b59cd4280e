/** Two equal servers on one database, for the tests of a file. */
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { EngineSettings } from "../../server/src/engine/settings.ts";
import {
  openSharedDatabase,
  type SharedDatabase,
  startTestServer,
  type StoreKind,
  type TestServer,
} from "../support/engine.ts";

export type TwoServers = { readonly database: SharedDatabase; readonly a: TestServer; readonly b: TestServer };

/**
 * Starts the servers before the tests of the surrounding `describe` and stops them after. A test fails if they log an
 * error.
 */
export function useTwoServers(kind: StoreKind, settings: Partial<EngineSettings> = {}): TwoServers {
  let database: SharedDatabase;
  let a: TestServer;
  let b: TestServer;
  beforeAll(async () => {
    database = await openSharedDatabase(kind);
    a = await startTestServer(database, settings);
    b = await startTestServer(database, settings);
  });
  afterEach(() => {
    for (const server of [a, b]) server.releaseAll();
    expect(a.errors).toEqual([]);
    expect(b.errors).toEqual([]);
  });
  afterAll(async () => {
    await Promise.all([a.stop(), b.stop()]);
    await database.close();
  });
  return {
    get database() {
      return database;
    },
    get a() {
      return a;
    },
    get b() {
      return b;
    },
  };
}
