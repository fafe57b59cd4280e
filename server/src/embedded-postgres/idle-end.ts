/**
 * Ends a database that its server has left behind. After SIGKILL of the server nobody outside could, so a session of
 * the database itself watches: it runs one endless statement, which does not notice the end of its client. When nobody
 * else has been connected for a while, it asks its postmaster for a fast shutdown.
 *
 * It needs no process of its own besides its backend, works for every user and without a terminal, and cannot outlive
 * its database. A living server is always connected, also when it is idle.
 */
import type postgres from "postgres";

/** How its session shows in pg_stat_activity. */
export const WATCH_NAME = "abstractruntime watch";

/** Long enough for a server that is started again, or one that lost its connections. */
export const IDLE_END_MS = 30_000;
/** Polls in that time. A poll reads one small view. */
const POLLS = 6;

/** Watches until the database ends. Rejects if the session is lost. */
export async function endWhenIdle(sql: postgres.Sql, idleMs: number): Promise<void> {
  // The session of the server before this one watches too.
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = ${WATCH_NAME} and pid <> pg_backend_pid()`;
  await sql.unsafe("set statement_timeout = 0").simple();
  await sql.unsafe(watchText(idleMs)).simple();
}

/**
 * Counts polls, not time: clocks may be set. Each poll is a transaction of its own, so that none grows old. Only
 * builtins of the shell are used.
 */
function watchText(idleMs: number): string {
  return `do $$
    declare
      quiet_polls int := 0;
    begin
      loop
        perform pg_sleep(${idleMs / POLLS / 1_000});
        if exists (
          select from pg_stat_activity
          where backend_type = 'client backend' and application_name <> '${WATCH_NAME}' and pid <> pg_backend_pid()
        ) then
          quiet_polls := 0;
        else
          quiet_polls := quiet_polls + 1;
        end if;
        if quiet_polls >= ${POLLS} then
          raise log 'nobody has been connected for ${idleMs / 1_000} s: this database ends; the next server starts it';
          copy (select where false) to program 'read pid < postmaster.pid && kill -INT "$pid"';
          quiet_polls := 0;
        end if;
        commit;
      end loop;
    end
  $$`;
}
