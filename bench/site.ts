/** A server on its own database, with its workers and load generators: the setup of most scenarios. */
import { watchCost, type Cost, type Role } from "./cost.ts";
import { profile } from "./profile.ts";
import { type ProgramProcess, startProgram } from "./program-process.ts";
import type { WorkerArgument } from "./programs/worker.ts";
import { type ServerProcess, startServer } from "./server-process.ts";
import type { BenchDatabase } from "./postgres.ts";
import type { World } from "./world.ts";

export type Site = {
  readonly database: BenchDatabase;
  readonly server: ServerProcess;
  /** Starts a worker of the benchmark for the server. */
  startWorker(name?: string): Promise<ProgramProcess>;
  /** Starts a load generator. */
  startLoad(program: string, argument: object): Promise<ProgramProcess>;
  /** Measures the cost of the server and these processes, as `watchCost`, and profiles them if requested. */
  watchCost(
    pids: Partial<Record<Exclude<Role, "postgres" | "server">, number>>,
  ): Promise<(steps: number) => Promise<Cost>>;
};

/** Opens a site for `work`, and closes it afterwards. Processes are stopped in the order of their dependencies.
 *  @param name the name of its database, its logs and its profiles */
export async function withSite<T>(
  world: World,
  name: string,
  work: (site: Site) => Promise<T>,
  options: { isInspected?: boolean } = {},
): Promise<T> {
  const database = await world.postgres.createDatabase(`bench_${name.replaceAll("-", "_")}`);
  const programs: ProgramProcess[] = [];
  /** The name of each process in its profile. */
  const names = new Map<number, string>();
  const start = async (role: string, program: string, argument: object): Promise<ProgramProcess> => {
    const started = await startProgram(world, { name: `${name}-${role}`, program, argument });
    programs.push(started);
    names.set(started.pid, `${name}-${role}`);
    return started;
  };
  const server = await startServer(world, { name: `${name}-server`, database, ...options });
  names.set(server.pid, `${name}-server`);
  try {
    return await work({
      database,
      server,
      startWorker: (role = "worker") => start(role, "worker", { url: server.url } satisfies WorkerArgument),
      startLoad: (program, argument) => start("load", program, argument),
      async watchCost(others) {
        const pids = { server: server.pid, ...others };
        const costOf = await watchCost({ postgres: world.postgres, database: database.name, pids });
        const endProfiles = profile(
          world,
          Object.values(pids).map((pid) => ({ name: names.get(pid)!, pid })),
        );
        return async (steps) => {
          const cost = await costOf(steps);
          await endProfiles();
          return cost;
        };
      },
    });
  } finally {
    for (const program of programs.toReversed()) await program.stop();
    await server.stop();
    await database.drop();
  }
}
