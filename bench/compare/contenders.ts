/** The contenders, in the order in which they are measured and shown. */
import { measureDbos } from "./contenders/dbos.ts";
import { measureOurs } from "./contenders/ours.ts";
import { measureRestate } from "./contenders/restate.ts";
import type { Measured } from "./measurement.ts";
import type { World } from "../world.ts";

/** The choices of `--only`. */
export const SYSTEMS = ["ours", "restate", "dbos"] as const;
export type System = (typeof SYSTEMS)[number];

export type Contender = {
  system: System;
  title: string;
  /** What is committed when. */
  committed: string;
  /** @param name names its database, its folders and its logs
   *  @param runs how many at a time */
  measure(world: World, name: string, runs: number): Promise<Measured>;
};

export const CONTENDERS: readonly Contender[] = [
  {
    system: "ours",
    title: "AbstractRuntime",
    committed:
      "in Postgres: the start; each step's number before the next handler is asked for (`commitEveryStep`); the tenth together with the run's end",
    measure: (world, name, runs) => measureOurs(world, name, { runs, isAhead: false }),
  },
  {
    system: "ours",
    title: "AbstractRuntime, run-ahead",
    committed:
      "in Postgres: the start; all ten steps with the run's end, or earlier after 100 ms. A crash before that runs the steps again",
    measure: (world, name, runs) => measureOurs(world, name, { runs, isAhead: true }),
  },
  {
    system: "restate",
    title: "Restate",
    committed:
      "in Restate's own log, synced: the start; each step's number before the next step begins (`await ctx.run`); the run's end",
    measure: measureRestate,
  },
  {
    system: "dbos",
    title: "DBOS",
    committed:
      "in Postgres: the start; each step's number before the next step begins (`await DBOS.runStep`); the run's end",
    measure: measureDbos,
  },
];
