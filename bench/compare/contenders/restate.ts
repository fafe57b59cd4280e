/** Restate: its server, its SDK's worker, and a load generator with its client, a process each. */
import { startProgram } from "../../program-process.ts";
import type { World } from "../../world.ts";
import { measureLoad, type Measured } from "../measurement.ts";
import { startRestateServer } from "../restate-server.ts";

/** The argument of its load generator. */
export type RestateLoadArgument = { url: string; runs: number };

/** Restate does not use Postgres, which is idle meanwhile. */
const DATABASE = "postgres";

/** If it fails, the world stops its processes. */
export async function measureRestate(world: World, name: string, runs: number): Promise<Measured> {
  const server = await startRestateServer(world, `${name}-server`);
  const worker = await startProgram(world, {
    name: `${name}-worker`,
    program: "../compare/programs/restate-worker",
    argument: {},
  });
  await server.register(`http://127.0.0.1:${await worker.ask<number>("port")}`);
  const load = await startProgram(world, {
    name: `${name}-load`,
    program: "../compare/programs/restate-load",
    argument: { url: server.ingressUrl, runs } satisfies RestateLoadArgument,
  });
  const measured = await measureLoad(world, {
    load,
    database: DATABASE,
    pids: { server: server.pid, worker: worker.pid, load: load.pid },
  });
  await load.stop();
  await server.stop();
  await worker.stop();
  return measured;
}
