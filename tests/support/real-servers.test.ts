/** The real servers of tests start, answer, and end. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import postgres from "postgres";
import { describe, expect, onTestFinished, test } from "vitest";
import { findPrograms } from "./debian-programs.ts";
import { startNginx, startPgBouncer, startPostgres } from "./real-servers.ts";

const programs = await findPrograms("postgres", "pgbouncer", "nginx");

describe.skipIf(programs.missing !== undefined)("real servers", () => {
  test("Postgres reloads, restarts and is silent; PgBouncer before it changes sessions", async () => {
    const server = await startPostgres(programs);
    onTestFinished(() => server.stop());
    await server.admin(`create role app login password 'secret'`);
    const pooler = await startPgBouncer(programs, server);
    onTestFinished(() => pooler.stop());

    const sql = postgres(pooler.url({ user: "app" }), { max: 1, prepare: false, fetch_types: false });
    onTestFinished(() => sql.end({ timeout: 0 }));
    expect(await sql`select current_user`).toEqual([{ current_user: "app" }]);

    await server.reload("work_mem = '5MB'");
    expect(await server.admin("show work_mem")).toEqual([{ work_mem: "5MB" }]);
    await server.setAccess("host all postgres 127.0.0.1/32 scram-sha-256\n");
    const refused = postgres(server.url({ user: "app" }), { max: 1 });
    await expect(refused`select 1`).rejects.toThrow("no pg_hba.conf entry");
    await refused.end();

    const { pid } = server;
    await server.restart("SIGQUIT");
    expect(server.pid).not.toBe(pid);
    server.suspend();
    const answer = server.admin("select 1 as one");
    server.resume();
    expect(await answer).toEqual([{ one: 1 }]);
  });

  test("nginx forwards, with limits of its own", async () => {
    const target = createServer((request, response) => response.end(`you asked for ${request.url}`));
    target.listen(0, "127.0.0.1");
    await once(target, "listening");
    onTestFinished(() => void target.close());
    const { port } = target.address() as AddressInfo;
    const nginx = await startNginx(
      programs,
      `server { listen 127.0.0.1:PORT; location / { proxy_pass http://127.0.0.1:${port}; proxy_read_timeout 7s; } }`,
    );
    onTestFinished(() => nginx.stop());
    const response = await fetch(`http://127.0.0.1:${nginx.port}/a`);
    expect(await response.text()).toBe("you asked for /a");
  });
});
