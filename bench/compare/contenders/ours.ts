/** Ours: server, worker and load generator of the main benchmark's `handler-*` rows, a process each. */
import postgres from "postgres";
import type { ManyRunsArgument } from "../../programs/many-runs.ts";
import { withSite } from "../../site.ts";
import type { World } from "../../world.ts";
import { measureLoad, type Measured } from "../measurement.ts";
import { COUNT_AT_END } from "../ten-steps.ts";

export async function measureOurs(
  world: World,
  name: string,
  { runs, isAhead }: { runs: number; isAhead: boolean },
): Promise<Measured> {
  return await withSite(world, name, async (site) => {
    const worker = await site.startWorker();
    const workflow = isAhead ? "handlersAhead" : "handlers";
    const load = await site.startLoad("many-runs", { url: site.server.url, workflow, runs } satisfies ManyRunsArgument);
    const pids = { server: site.server.pid, worker: worker.pid, load: load.pid };
    const measured = await measureLoad(world, { load, database: site.database.name, pids });
    await assertResults(site.database.url);
    await worker.ask("drain");
    return measured;
  });
}

/** The load generator learns that runs completed, but not their results. */
async function assertResults(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const [row] = await sql<[{ wrong: number }]>`
      select count(*)::int as wrong
      from runs r
      left join run_parts p on p.tenant_id = r.tenant_id and p.run_id = r.run_id and p.part = 'output'
      where (p.value::jsonb ->> 'count')::int is distinct from ${COUNT_AT_END}`;
    if (row.wrong > 0) throw new Error(`${row.wrong} runs returned something other than ${COUNT_AT_END}`);
  } finally {
    await sql.end();
  }
}
