import { once } from "node:events";
import * as fs from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import postgres from "postgres";
import { describe, expect, onTestFinished, test, vi } from "vitest";

import { createTestDatabase, startThrowAwayPostgres } from "../../tests/support/postgres.ts";
import { DatabaseSetupError } from "./embedded-postgres/database-error.ts";
import { startEmbeddedPostgres } from "./embedded-postgres/embedded-postgres.ts";
import { createWaitNotice, waitForDatabase } from "./wait-for-database.ts";

describe("waitForDatabase", () => {
  test("waits for a database that is away, saying so once and without the password", async () => {
    const dataDir = await fs.mkdtemp(path.join(os.tmpdir(), "abstractruntime-test-"));
    onTestFinished(() => fs.rm(dataDir, { recursive: true, force: true }));
    await fs.chmod(dataDir, 0o711);
    const first = await startEmbeddedPostgres({ dataDir, log: silent, unsafeForTests: true });
    await first.stop();
    const messages: string[] = [];
    const waiting = waitForDatabase(first.url, { log: recorder(messages) });
    await until(() => messages.length > 0);
    const { password, host } = new URL(first.url);
    expect(messages).toEqual([`waiting for the database at ${host}/abstractruntime: connection refused`]);
    const second = await startEmbeddedPostgres({ dataDir, log: silent, unsafeForTests: true });
    onTestFinished(() => second.stop());
    await waiting;
    expect(messages.at(-1)).toBe(`the database at ${host}/abstractruntime is available`);
    expect(messages.join()).not.toContain(password);
  });

  test("waits behind a listener that closes every connection, until its time is over", async () => {
    const server = createServer((socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const url = `postgres://u:secret@127.0.0.1:${port}/d`;
    await expect(waitForDatabase(url, { log: silent, timeoutMs: 300 })).rejects.toMatchObject({ reason: "TIMED_OUT" });
  });

  test("ends with the signal's reason", async () => {
    const reason = new Error("enough");
    const abort = new AbortController();
    const messages: string[] = [];
    const url = "postgres://u:secret@127.0.0.1:1/d";
    const waiting = waitForDatabase(url, { log: recorder(messages), signal: abort.signal });
    await until(() => messages.length > 0);
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  test("refuses at once what waiting does not cure", async () => {
    const server = await startThrowAwayPostgres();
    onTestFinished(() => server.stop());
    const database = await createTestDatabase(server);
    await waitForDatabase(database.url, { log: silent });

    const sql = postgres(server.adminUrl, { max: 1 });
    await sql`create database latin template template0 encoding 'LATIN1' locale_provider libc locale 'C'`;
    await sql.end();
    const changed = (change: Partial<URL>) => Object.assign(new URL(database.url), change).href;
    const cases: [string, string][] = [
      [changed({ password: "wrong" }), "LOGIN_REFUSED"],
      [changed({ username: "nobody" }), "LOGIN_REFUSED"],
      [changed({ pathname: "/absent" }), "DATABASE_UNKNOWN"],
      [changed({ pathname: "/latin" }), "ENCODING_UNSUPPORTED"],
      ["mysql://u:secret@127.0.0.1/d", "URL_INVALID"],
      ["postgres://u:sec#ret/@127.0.0.1/d", "URL_INVALID"],
    ];
    for (const [url, reason] of cases) {
      const refusal: unknown = await waitForDatabase(url, { log: silent, timeoutMs: 5_000 }).catch(
        (error: unknown) => error,
      );
      expect(refusal).toBeInstanceOf(DatabaseSetupError);
      expect(refusal).toMatchObject({ reason });
      expect(String(refusal)).not.toMatch(/sec|wrong/);
    }
    await database.drop();
    await expect(waitForDatabase(database.url, { log: silent })).rejects.toMatchObject({ reason: "DATABASE_UNKNOWN" });
  });
});

test("what is waited for is said at once when it changes, and else every 5 s", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const said: string[] = [];
  const say = createWaitNotice(recorder(said));
  for (const what of ["a", "a", "b", "b"]) say(what);
  expect(said).toEqual(["waiting for a", "waiting for b"]);
  vi.advanceTimersByTime(4_999);
  say("b");
  expect(said).toHaveLength(2);
  vi.advanceTimersByTime(1);
  say("b");
  expect(said).toHaveLength(3);
});

const silent = { info: () => {}, warn: () => {}, error: () => {} };

function recorder(messages: string[]) {
  const record = (message: string) => void messages.push(message);
  return { info: record, warn: record, error: record };
}

/** Looks until the condition holds. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(5);
}
