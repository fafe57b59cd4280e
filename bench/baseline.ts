/** The baseline of a round: runs `programs/baseline.ts` in its own database in the same Postgres. */
import { startProgram } from "./program-process.ts";
import type { BaselineArgument, BaselineReply } from "./programs/baseline.ts";
import type { World } from "./world.ts";

export type Baseline = BaselineReply & { connections: number };

export async function measureBaseline(world: World, connections: number): Promise<Baseline> {
  const { postgres, extent } = world;
  const database = await postgres.createDatabase("bench_baseline");
  try {
    const argument: BaselineArgument = {
      url: database.url,
      connections,
      warmUpMs: extent.baselineWarmUpMs,
      measureMs: extent.baselineMs,
    };
    // Never profiled: profiled processes are compared with it.
    const program = await startProgram(
      { ...world, profiles: undefined },
      { name: "baseline", program: "baseline", argument },
    );
    await postgres.checkpoint();
    const reply = await program.ask<BaselineReply>("measure");
    await program.stop();
    return { ...reply, connections };
  } finally {
    await database.drop();
  }
}
