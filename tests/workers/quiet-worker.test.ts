/**
 * A worker that lets an offer lapse may be frozen or behind a dead network: it gets no more jobs until it sends
 * something.
 */
import { describe, expect, test } from "vitest";
import { graph } from "../guarantees/graphs.ts";
import { useTwoServers } from "../guarantees/servers.ts";
import { freshCaller, startRun, STORE_KINDS, untilEnded } from "../support/engine.ts";
import { connectTestWorker } from "../support/test-worker.ts";

function calling(calls: number) {
  return graph({
    tools: {
      toolCalls: { calls: Array.from({ length: calls }, () => ({ name: "t" })) },
      resultKey: "found",
      next: [{ to: "done" }],
    },
    done: { complete: {} },
  });
}

describe.each(STORE_KINDS)("a quiet worker on %s", (kind) => {
  const servers = useTwoServers(kind, { acceptMs: 200, pingMs: 20_000, silenceMs: 60_000 });

  test("jobs that it did not accept go to others, and so do all later ones until it sends something", async () => {
    const { a } = servers;
    const caller = freshCaller();
    const quiet = await connectTestWorker(a, caller, { toolNames: ["t"] });
    quiet.credit(100);
    const first = await startRun(a, caller, calling(1));
    const lapsed = await quiet.nextJob();
    expect(await quiet.frame("lease_lost")).toEqual({ type: "lease_lost", tokens: [lapsed.token] });

    const lively = await connectTestWorker(a, caller, { toolNames: ["t"] });
    lively.credit(100);
    const second = await startRun(a, caller, calling(6));
    for (let jobs = 0; jobs < 7; jobs++) {
      const job = await lively.nextJob();
      lively.accept(job);
      await lively.complete(job, null);
    }
    for (const { state } of [first, second]) {
      expect((await untilEnded(a, caller, state.runId)).state.status).toBe("completed");
    }
    expect(quiet.waiting).toBe(0);

    lively.cut();
    const third = await startRun(a, caller, calling(1));
    quiet.connection.receive({ type: "pong" });
    const job = await quiet.nextJob();
    quiet.accept(job);
    await quiet.complete(job, null);
    expect((await untilEnded(a, caller, third.state.runId)).state.status).toBe("completed");
    quiet.cut();
  });
});
