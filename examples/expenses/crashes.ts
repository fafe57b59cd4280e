/** Kills the server and its database in the middle of the work, and starts them again. */
import { setTimeout as sleep } from "node:timers/promises";

import type { ServerProcess } from "../support/server-process.ts";
import type { Timeline } from "../support/timeline.ts";
import type { Chance } from "./chance.ts";
import type { Feed } from "./feed.ts";

/** When the server was down. */
export type Crash = { time: Date; recoveryTime: Date };

/** When to kill, as shares of the runs that have ended; each is shifted a little at random. */
const POINTS = [0.3, 0.65];
const JITTER = 0.05;
const DELAY_MS_MAX = 250;

/** Kills both processes at each point, even if there are few runs. */
export async function crashInTheMiddle(options: {
  server: ServerProcess;
  feed: Feed;
  runs: number;
  chance: Chance;
  timeline: Timeline;
  /** Describes the work in progress. */
  describe: () => string;
  signal: AbortSignal;
}): Promise<Crash[]> {
  const { server, feed, runs, chance, timeline, describe, signal } = options;
  const crashes: Crash[] = [];
  for (const [index, point] of POINTS.entries()) {
    const share = point + JITTER * (2 * chance("crash", index) - 1);
    // At least one run must still be in progress.
    const endedBefore = Math.min(Math.floor(runs * share), runs - 1);
    await feed.until(() => feed.started.size > 0 && feed.ended.size >= endedBefore);
    await sleep(DELAY_MS_MAX * chance("crash delay", index), undefined, { signal });

    const work = describe();
    const { serverPid, databasePid } = server.kill();
    const time = new Date();
    if (serverPid === 0 || databasePid === 0) throw new Error("the server or its database was not running");
    timeline.mark(`SIGKILL to the server (pid ${serverPid}) and the database (pid ${databasePid})\n${work}`, "crash");
    const { readyMs, ...pids } = await server.start(signal);
    crashes.push({ time, recoveryTime: new Date() });
    const back = `back after ${(readyMs / 1000).toFixed(1)} s`;
    timeline.mark(`${back}, on the same data (pids ${pids.serverPid} and ${pids.databasePid})`, "good");
  }
  return crashes;
}
