/** DBOS on its own database: one process starts runs and executes them. */
import { startProgram } from "../../program-process.ts";
import type { World } from "../../world.ts";
import { measureLoad, type Measured } from "../measurement.ts";

/** The argument of its program. */
export type DbosArgument = { url: string; runs: number; poolSize: number };

/** With 50 runs at a time on two cores, 20 connections did 1,260 steps a second, 10 did 990, 50 and 80 did 1,000 to
 *  1,080; with 200 runs, 10 and 20 did 1,330, 50 did 1,090. */
const POOL_SIZE = 20;

/** If it fails, the world stops its processes. */
export async function measureDbos(world: World, name: string, runs: number): Promise<Measured> {
  const database = await world.postgres.createDatabase(`bench_${name.replaceAll("-", "_")}`);
  const program = await startProgram(world, {
    name,
    program: "../compare/programs/dbos",
    argument: { url: database.url, runs, poolSize: POOL_SIZE } satisfies DbosArgument,
  });
  const measured = await measureLoad(world, { load: program, database: database.name, pids: { worker: program.pid } });
  await program.ask("shutdown");
  await program.stop();
  await database.drop();
  return measured;
}
