/** Stops an embedded database whose server was killed or gave up. */
import * as fs from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

import { findPostmaster } from "../embedded-postgres/cluster.ts";
import { postmasterState, signalProcess } from "../embedded-postgres/processes.ts";

const POLL_MS = 20;
/** An immediate stop takes tens of milliseconds; a machine that is out of memory or disk may need seconds. */
const STOP_MS_MAX = 10_000;

/**
 * Stops the database of a data directory immediately, without a checkpoint. Its next start replays what was committed.
 * @param options.removeFolder whether to remove the data directory too
 */
export async function stopDatabase(dataDir: string, { removeFolder }: { removeFolder: boolean }): Promise<void> {
  const postmaster = await findPostmaster(dataDir);
  if (postmaster !== undefined) {
    const { pid, marks } = postmaster;
    signalProcess(pid, "SIGQUIT");
    const until = performance.now() + STOP_MS_MAX;
    while (postmasterState(pid, marks) === "running" && performance.now() < until) await pause(POLL_MS);
  }
  if (removeFolder) await fs.rm(dataDir, { recursive: true, force: true });
}
