/** The machine's own rate: one-row transactions from Node. Each inserts a record and updates a run in one statement. */
import postgres from "postgres";
import { machineMs } from "../clock.ts";
import { percentile } from "../statistics.ts";
import { answerRequests, programArgument } from "./program.ts";

export type BaselineArgument = { url: string; connections: number; warmUpMs: number; measureMs: number };
export type BaselineReply = { perSecond: number; p50Ms: number; p99Ms: number };

/** About the size of a step record. */
const RECORD = "r".repeat(512);

const { url, connections, warmUpMs, measureMs } = programArgument() as BaselineArgument;

async function measure(): Promise<BaselineReply> {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  try {
    await sql`create table run (run_id int primary key, seq int not null) with (fillfactor = 50)`;
    await sql`create table record (run_id int, seq int, body text not null, primary key (run_id, seq))`;
    await sql`insert into run select number, 0 from generate_series(1, ${connections}) as number`;
    const beginMs = machineMs() + warmUpMs;
    const endMs = beginMs + measureMs;
    const latencies: number[] = [];
    /** Each connection has its own run, so that none waits for another's row. */
    async function commitUntilEnd(runId: number): Promise<void> {
      for (let atMs = machineMs(); atMs < endMs;) {
        await sql`
          with moved as (update run set seq = seq + 1 where run_id = ${runId} returning run_id, seq)
          insert into record select run_id, seq, ${RECORD} from moved`;
        const now = machineMs();
        if (atMs >= beginMs && now <= endMs) latencies.push(now - atMs);
        atMs = now;
      }
    }
    await Promise.all(Array.from({ length: connections }, (_, index) => commitUntilEnd(index + 1)));
    return {
      perSecond: (latencies.length / measureMs) * 1_000,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
    };
  } finally {
    await sql.end();
  }
}

answerRequests({ measure });
