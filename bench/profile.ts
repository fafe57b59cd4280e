/** Takes CPU profiles of a measurement's processes, during the measurement only. `programs/profiled.ts` is the other
 *  half. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { World } from "./world.ts";

const POLL_MS = 20;
/** Writing a profile of about ten seconds takes less than a second. */
const WRITE_MS_MAX = 15_000;

/** Node's arguments for a process that may be profiled. */
export function profileArguments({ profiles }: World): string[] {
  return profiles === undefined ? [] : ["--import", join(import.meta.dirname, "programs/profiled.ts")];
}

export function profileEnvironment(world: World, name: string): NodeJS.ProcessEnv {
  const file = profileFile(world, name);
  return file === undefined ? {} : { PROFILE_FILE: file };
}

/** Begins profiles if requested. The returned function ends them, and resolves when they are written. */
export function profile(world: World, processes: readonly { name: string; pid: number }[]): () => Promise<void> {
  if (world.profiles === undefined) return () => Promise.resolve();
  for (const { name, pid } of processes) {
    rmSync(profileFile(world, name)!, { force: true });
    process.kill(pid, "SIGUSR2");
  }
  return async () => {
    const untilMs = performance.now() + WRITE_MS_MAX;
    for (const { pid } of processes) process.kill(pid, "SIGUSR2");
    for (const { name } of processes) {
      while (!existsSync(profileFile(world, name)!)) {
        if (performance.now() > untilMs) throw new Error(`${name} has written no profile`);
        await sleep(POLL_MS);
      }
    }
  };
}

function profileFile({ profiles }: World, name: string): string | undefined {
  return profiles === undefined ? undefined : join(profiles, `${name}.cpuprofile`);
}
