/** docs/postgres.md, "Roles and grants" and "Settings of a role or a database". */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { findPrograms } from "../support/debian-programs.ts";
import { type RealPostgres, startPostgres } from "../support/real-servers.ts";
import { refusalOf, startOn } from "../support/started-server.ts";

const COMPLETED = "RUN_STATUS_COMPLETED";

const programs = await findPrograms("postgres");

describe.skipIf(programs.missing !== undefined)("roles and grants", () => {
  let server: RealPostgres;
  let roles = 0;

  beforeAll(async () => {
    server = await startPostgres(programs, "log_statement = 'ddl'");
  });
  afterAll(() => server.stop());

  async function createRole(options = ""): Promise<string> {
    roles += 1;
    await server.admin(`create role app${roles} login password 'secret' ${options}`);
    return `app${roles}`;
  }

  /** A database in which nobody but the superuser may do anything, with the schema `shop`. */
  async function createBareDatabase(): Promise<string> {
    const database = await server.createDatabase();
    await server.admin(`revoke all on database ${database} from public`);
    await server.admin("revoke all on schema public from public; create schema shop", database);
    return database;
  }

  /** Starts a server, runs something, and stops it. */
  async function works(url: string): Promise<string> {
    const started = await startOn({ DATABASE_URL: url });
    onTestFinished(() => started.stop());
    return await started.tryOut();
  }

  test("A role with USAGE and CREATE on one schema is enough", async () => {
    const database = await createBareDatabase();
    const user = await createRole();
    await server.admin(
      `grant connect on database ${database} to ${user}; grant usage, create on schema shop to ${user}`,
      database,
    );
    const url = server.url({ user, database, query: "schema=shop" });
    expect(await works(url)).toBe(COMPLETED);
    expect(await works(url)).toBe(COMPLETED);
  });

  test("A role that may only read and write rows is enough while the tables are current; nothing is created", async () => {
    const database = await createBareDatabase();
    const [owner, user] = [await createRole(), await createRole()];
    await server.admin(
      `grant connect on database ${database} to ${owner}, ${user}; grant usage, create on schema shop to ${owner};
       grant usage on schema shop to ${user};
       alter default privileges for role ${owner} in schema shop
         grant select, insert, update, delete on tables to ${user}`,
      database,
    );
    expect(await works(server.url({ user: owner, database, query: "schema=shop" }))).toBe(COMPLETED);
    const created = /(statement|execute [^:]*): *(create|alter|drop|grant)/i;
    expect(server.log()).toMatch(created);
    const from = server.log().length;
    expect(await works(server.url({ user, database, query: "schema=shop" }))).toBe(COMPLETED);
    expect(server.log().slice(from)).not.toMatch(created);
  });

  describe("A missing grant ends the start, and the message has the statement that gives it", () => {
    test.each<[missing: string, prepare: (user: string, database: string) => string, message: RegExp]>([
      ["CONNECT", () => "", /permission denied for database/],
      [
        "USAGE on the schema",
        (user, database) => `grant connect on database ${database} to ${user}`,
        /role app\d+ lacks USAGE on schema shop: grant usage, create on schema shop to app\d+$/,
      ],
      [
        "CREATE on the schema",
        (user, database) => `grant connect on database ${database} to ${user}; grant usage on schema shop to ${user}`,
        /role app\d+ lacks CREATE on schema shop: grant create on schema shop to app\d+,/,
      ],
    ])("%s", async (_missing, prepare, message) => {
      const database = await createBareDatabase();
      const user = await createRole();
      await server.admin(prepare(user, database), database);
      expect(await refusalOf({ DATABASE_URL: server.url({ user, database, query: "schema=shop" }) })).toMatch(message);
    });

    test("the schema itself", async () => {
      const database = await createBareDatabase();
      const user = await createRole();
      await server.admin(`grant connect on database ${database} to ${user}`, database);
      expect(await refusalOf({ DATABASE_URL: server.url({ user, database, query: "schema=none" }) })).toMatch(
        /schema none does not exist .* role app\d+ may not create it: create schema none authorization app\d+$/,
      );
      expect(await refusalOf({ DATABASE_URL: server.url({ user, database }) })).toMatch(
        /role app\d+ may use no schema of its search_path .* create schema abstractruntime authorization app\d+/,
      );
    });

    test.each<[missing: string, revoke: (user: string) => string, message: RegExp]>([
      [
        "rows of a table",
        (user) => `revoke insert, delete on shop.jobs from ${user}`,
        /role app\d+ lacks INSERT, DELETE on table jobs: grant select, insert, update, delete on all tables in/,
      ],
      [
        "rows of the journal",
        (user) => `revoke all on shop.abstractruntime_migrations from ${user}`,
        /role app\d+ lacks SELECT on table abstractruntime_migrations: grant select/,
      ],
      [
        "functions",
        () => "revoke execute on all functions in schema shop from public",
        /role app\d+ lacks EXECUTE on function commit_batch_\w+: grant execute on all functions in schema shop to/,
      ],
      [
        "the tables' owner, where a migration changes them",
        () => "delete from shop.abstractruntime_migrations",
        /role app\d+ does not own the tables in schema shop, which this release changes: start it once as app\d+/,
      ],
    ])("%s", async (_missing, revoke, message) => {
      const database = await createBareDatabase();
      const [owner, user] = [await createRole(), await createRole()];
      await server.admin(
        `grant connect on database ${database} to ${owner}, ${user}; grant usage, create on schema shop to ${owner};
         grant usage on schema shop to ${user}`,
        database,
      );
      expect(await works(server.url({ user: owner, database, query: "schema=shop" }))).toBe(COMPLETED);
      await server.admin(
        `grant select, insert, update, delete on all tables in schema shop to ${user}; ${revoke(user)}`,
        database,
      );
      expect(await refusalOf({ DATABASE_URL: server.url({ user, database, query: "schema=shop" }) })).toMatch(message);
    });
  });

  test("Defaults of a role or a database that change how SQL reads and prints do no harm", async () => {
    const user = await createRole();
    const database = await server.createDatabase(`owner ${user}`);
    const settings = {
      default_transaction_isolation: "serializable",
      statement_timeout: "30s",
      lock_timeout: "5s",
      idle_in_transaction_session_timeout: "10s",
      row_security: "off",
      standard_conforming_strings: "off",
      timezone: "Asia/Kathmandu",
      datestyle: "SQL, DMY",
      intervalstyle: "sql_standard",
      bytea_output: "escape",
      extra_float_digits: "-15",
      array_nulls: "off",
      transform_null_equals: "on",
      client_min_messages: "debug5",
      default_tablespace: "pg_default",
      "plpgsql.extra_errors": "all",
      "plpgsql.variable_conflict": "error",
    };
    for (const [name, value] of Object.entries(settings)) {
      await server.admin(`alter role ${user} in database ${database} set ${name} = '${value}'`);
    }
    expect(await works(server.url({ user, database }))).toBe(COMPLETED);
    // With the hashes that a first server has written.
    expect(await works(server.url({ user, database }))).toBe(COMPLETED);
  });

  test.each([
    [
      "idle_in_transaction_session_timeout = 10",
      /idle_in_transaction_session_timeout is 10 ms for role app\d+ .* set it to 0, or to 1000 ms or more/,
    ],
    [
      "statement_timeout = '100ms'",
      /statement_timeout is 100 ms for role app\d+ .* set it to 0, or to 1000 ms or more/,
    ],
    [
      "default_transaction_read_only = on",
      /default_transaction_read_only is on for role app\d+ .* alter role app\d+ reset/,
    ],
    ["search_path = nothing", /role app\d+ may use no schema of its search_path/],
  ])("A default that makes work impossible ends the start by name: %s", async (setting, message) => {
    const user = await createRole();
    const database = await server.createDatabase(`owner ${user}`);
    await server.admin(`alter role ${user} set ${setting}`);
    expect(await refusalOf({ DATABASE_URL: server.url({ user, database }) })).toMatch(message);
  });

  test.each([
    ["synchronous_commit", /synchronous_commit is off in the database at .* may lose what was acknowledged/],
    ["enable_nestloop", /enable_nestloop is off for role app\d+ .* statements may be very slow/],
  ])("A default that is unsafe or slow is warned of: %s", async (setting, message) => {
    const user = await createRole();
    const database = await server.createDatabase(`owner ${user}`);
    await server.admin(`alter role ${user} set ${setting} = off`);
    const started = await startOn({ DATABASE_URL: server.url({ user, database }) });
    onTestFinished(() => started.stop());
    expect(started.messages.join("\n")).toMatch(message);
  });
});
