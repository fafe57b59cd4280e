/** What a step costs: transactions, WAL, and the CPU time of each process. */
import { readdirSync, readFileSync } from "node:fs";
import type { BenchPostgres } from "./postgres.ts";

export type Role = "server" | "worker" | "load" | "postgres";

/** The cost of one step. */
export type Cost = {
  /** Transactions that wrote. */
  commitsPerStep: number;
  /** Transactions, including reads. */
  transactionsPerStep: number;
  walBytesPerStep: number;
  /** CPU time in microseconds. A role without a process on this machine is absent; without /proc all are. */
  cpuUsPerStep: Partial<Record<Role, number>>;
};

/** Linux reports CPU time in hundredths of a second, independent of its internal clock. */
const TICK_US = 10_000;

/** Begins to measure. The returned function ends that, and returns the cost of each of `steps`.
 *  @param options.database the database whose transactions are counted; WAL and writes are of the whole cluster
 *  @param options.pids the processes of each role; Postgres counts including its children */
export async function watchCost(options: {
  postgres: BenchPostgres;
  database: string;
  pids: Partial<Record<Exclude<Role, "postgres">, number>>;
}): Promise<(steps: number) => Promise<Cost>> {
  const { postgres, database } = options;
  const read = async () => ({
    counters: await postgres.counters(database),
    cpu: { ...mapValues(options.pids, cpuUsOf), postgres: cpuUsOfTree(postgres.pid) },
  });
  const before = await read();
  return async (steps) => {
    const after = await read();
    const spent = (name: keyof typeof after.counters): number => (after.counters[name] - before.counters[name]) / steps;
    const cpuUsPerStep: Cost["cpuUsPerStep"] = {};
    for (const role of ["server", "worker", "load", "postgres"] as const) {
      const [first, last] = [before.cpu[role], after.cpu[role]];
      if (first !== undefined && last !== undefined) cpuUsPerStep[role] = (last - first) / steps;
    }
    return {
      commitsPerStep: spent("writes"),
      transactionsPerStep: spent("transactions"),
      walBytesPerStep: spent("walBytes"),
      cpuUsPerStep,
    };
  };
}

/** Undefined if there is no such process, or no /proc. Ended children count once the process has collected them. */
function cpuUsOf(pid: number): number | undefined {
  const fields = statOf(pid);
  // utime, stime, cutime, cstime; see proc_pid_stat(5), whose first two fields are not among these.
  return fields === undefined ? undefined : sum(fields.slice(11, 15).map(Number)) * TICK_US;
}

function cpuUsOfTree(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  const own = cpuUsOf(pid);
  if (own === undefined) return undefined;
  const children = readdirSync("/proc").filter(
    (name) => /^\d+$/.test(name) && statOf(Number(name))?.[1] === String(pid),
  );
  return own + sum(children.map((child) => cpuUsOf(Number(child)) ?? 0));
}

function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before the last bracket may contain blanks and brackets.
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function mapValues<K extends string, A, B>(
  from: Partial<Record<K, A>>,
  change: (value: A) => B,
): Partial<Record<K, B>> {
  const entries = Object.entries(from) as [K, A][];
  return Object.fromEntries(entries.map(([key, value]) => [key, change(value)])) as Partial<Record<K, B>>;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
