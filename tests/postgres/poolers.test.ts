/** docs/postgres.md, "Poolers". */
import { spawn } from "node:child_process";
import { once } from "node:events";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { findSessionKind } from "../../server/src/store/postgres/pooler.ts";
import { ambientEnvironment, REPOSITORY } from "../conformance/server.ts";
import { findPrograms } from "../support/debian-programs.ts";
import { type RealPgBouncer, type RealPostgres, startPgBouncer, startPostgres } from "../support/real-servers.ts";
import { refusalOf, type StartedServer, startOn } from "../support/started-server.ts";

const programs = await findPrograms("postgres", "pgbouncer");

describe.skipIf(programs.missing !== undefined)("poolers", () => {
  let server: RealPostgres;
  let pooler: RealPgBouncer;

  beforeAll(async () => {
    server = await startPostgres(programs);
    pooler = await startPgBouncer(programs, server);
  });
  afterAll(async () => {
    await pooler.stop();
    await server.stop();
  });

  async function start(environment: Record<string, string>): Promise<StartedServer> {
    const started = await startOn(environment);
    onTestFinished(() => started.stop());
    return started;
  }

  describe("A pooler in transaction mode needs ABSTRACTRUNTIME_DATABASE_DIRECT_URL", () => {
    const message =
      /is a pooler in transaction mode, .*: set ABSTRACTRUNTIME_DATABASE_DIRECT_URL to the URL of Postgres/;

    test("without it the start ends, three times in a row", async () => {
      const database = await server.createDatabase();
      for (let starts = 0; starts < 3; starts++) {
        expect(await refusalOf({ DATABASE_URL: pooler.url({ database }) })).toMatch(message);
      }
    });

    test("also after a crash has left locks of a session in the pooler, and while others use it", async () => {
      const database = await server.createDatabase();
      const left = postgres(pooler.url({ database }), { max: 1, prepare: false, fetch_types: false });
      // A lock of the session stays with the pooler's connection when its client is gone.
      await left`select pg_advisory_lock(7400001), pg_advisory_lock(7400001, 'public'::regnamespace::oid::int)`;
      await left.end({ timeout: 0 });
      const others = postgres(pooler.url({ database }), { max: 10, prepare: false, fetch_types: false });
      let isBusy = true;
      const load = Array.from({ length: 10 }, async () => {
        while (isBusy) await others`select pg_sleep(0.002)`;
      });
      for (let starts = 0; starts < 3; starts++) {
        expect(await refusalOf({ DATABASE_URL: pooler.url({ database }) })).toMatch(message);
      }
      isBusy = false;
      await Promise.all(load);
      await others.end();
    });

    test("it must itself go past the pooler", async () => {
      const database = await server.createDatabase();
      const urls = {
        DATABASE_URL: pooler.url({ database }),
        ABSTRACTRUNTIME_DATABASE_DIRECT_URL: pooler.url({ database, query: "application_name=direct" }),
      };
      expect(await refusalOf(urls)).toMatch(/ABSTRACTRUNTIME_DATABASE_DIRECT_URL must go past the pooler/);
    });

    test("with it everything else goes through the pooler, and statements are not kept prepared", async () => {
      const database = await server.createDatabase();
      const started = await start({
        DATABASE_URL: pooler.url({ database }),
        ABSTRACTRUNTIME_DATABASE_DIRECT_URL: server.url({ database, query: "application_name=direct" }),
      });
      expect(started.messages.join("\n")).toMatch(/is a pooler in transaction mode: statements are not kept prepared/);
      const runs = Array.from({ length: 20 }, () => started.tryOut());
      expect(new Set(await Promise.all(runs))).toEqual(new Set(["RUN_STATUS_COMPLETED"]));
      const direct = await server.admin(
        `select count(*)::int as n from pg_stat_activity where datname = '${database}' and application_name = 'direct'`,
      );
      expect(direct).toEqual([{ n: 1 }]);
    });
  });

  test("A start that was killed while it waited leaves nothing behind", async () => {
    const database = await server.createDatabase();
    const holder = postgres(server.url({ database }), { max: 1 });
    onTestFinished(() => holder.end());
    await holder`select pg_advisory_lock(7400001, 'public'::regnamespace::oid::int)`;
    const child = spawn(process.execPath, ["server/src/main.ts", "server", "--listen", "127.0.0.1:0"], {
      cwd: REPOSITORY,
      env: { ...ambientEnvironment(), DATABASE_URL: server.url({ database }) },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const exited = once(child, "exit");
    let log = "";
    child.stderr.on("data", (text: Buffer) => (log += text.toString()));
    while (!log.includes("another server that migrates")) await once(child.stderr, "data");
    child.kill("SIGKILL");
    await exited;
    await holder`select pg_advisory_unlock_all()`;
    expect(await (await start({ DATABASE_URL: server.url({ database }) })).tryOut()).toBe("RUN_STATUS_COMPLETED");
  });

  test("A pooler in session mode needs nothing else", async () => {
    const sessions = await startPgBouncer(programs, server, "pool_mode = session");
    onTestFinished(() => sessions.stop());
    const database = await server.createDatabase();
    expect(await (await start({ DATABASE_URL: sessions.url({ database }) })).tryOut()).toBe("RUN_STATUS_COMPLETED");
  });

  test("What is in between is found out without traces", async () => {
    const sessions = await startPgBouncer(programs, server, "pool_mode = session");
    const one = await startPgBouncer(programs, server, "default_pool_size = 1");
    const turning = await startPgBouncer(programs, server, "server_round_robin = 1");
    onTestFinished(async () => void (await Promise.all([sessions, one, turning].map((each) => each.stop()))));
    const database = await server.createDatabase();
    expect(await findSessionKind(server.url({ database }))).toBe("direct");
    expect(await findSessionKind(sessions.url({ database }))).toBe("session");
    for (const transactions of [pooler, one, turning]) {
      expect(await findSessionKind(transactions.url({ database }))).toBe("transaction");
    }
  });

  describe("A pooler passes neither schema= nor options= on: the role's own search_path has to name the schema", () => {
    test.each(["schema=shop", "options=-c%20search_path%3Dshop"])("%s is refused by name", async (query) => {
      const database = await server.createDatabase();
      await server.admin("create schema shop", database);
      const urls = {
        DATABASE_URL: pooler.url({ database, query }),
        ABSTRACTRUNTIME_DATABASE_DIRECT_URL: server.url({ database, query }),
      };
      expect(await refusalOf(urls)).toMatch(/unsupported startup parameter.*add pgbouncer=true to the URL, and give/s);
    });

    test("with it two installations go through one pooler", async () => {
      const database = await server.createDatabase();
      for (const name of ["shop", "bank"]) {
        await server.admin(
          `create role ${name} login password 'secret'; create schema ${name} authorization ${name};
           alter role ${name} in database ${database} set search_path = ${name}`,
          database,
        );
        const started = await start({
          DATABASE_URL: pooler.url({ database, user: name, query: `schema=${name}&pgbouncer=true` }),
          ABSTRACTRUNTIME_DATABASE_DIRECT_URL: server.url({ database, user: name }),
        });
        expect(await started.tryOut()).toBe("RUN_STATUS_COMPLETED");
      }
      const made = await server.admin(
        "select relnamespace::regnamespace::text as schema from pg_class where relname = 'runs' order by 1",
        database,
      );
      expect(made).toEqual([{ schema: "bank" }, { schema: "shop" }]);
    });

    test("without it the start ends: the two URLs lead to different schemas", async () => {
      const database = await server.createDatabase();
      const urls = {
        DATABASE_URL: pooler.url({ database, query: "schema=shop&pgbouncer=true" }),
        ABSTRACTRUNTIME_DATABASE_DIRECT_URL: server.url({ database, query: "schema=shop" }),
      };
      expect(await refusalOf(urls)).toMatch(
        /DATABASE_URL leads to schema public .*DIRECT_URL to schema shop .* alter role postgres in database \w+ set/,
      );
    });
  });

  test("The two URLs must lead to the same database", async () => {
    const [one, other] = [await server.createDatabase(), await server.createDatabase()];
    const urls = {
      DATABASE_URL: pooler.url({ database: one }),
      ABSTRACTRUNTIME_DATABASE_DIRECT_URL: server.url({ database: other }),
    };
    expect(await refusalOf(urls)).toMatch(new RegExp(`of database ${one}, and .* of database ${other}: they must be`));
  });
});
