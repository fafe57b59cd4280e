/**
 * Writes the golden ledgers that do not exist yet: `node tests/golden/write-ledgers.ts`.
 *
 * A ledger that is there is never written again: it stands for what a release has stored in people's databases. A new kind
 * of record, key or operation gets a new ledger.
 */
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseInstant } from "../../server/src/core/duration.ts";
import { NO_PREVIOUS_HASH } from "../../server/src/core/ledger-format.ts";
import { sealRecords } from "../../server/src/engine/seal.ts";
import { createTestRun, runOf, type TestRun, workflowOf } from "../support/test-world.ts";
import { GOLDEN_FOLDER, toFile } from "./ledger-file.ts";

const HOUR_MS = 3_600_000;

export const ledgers: { name: string; about: string; play: () => TestRun }[] = [
  {
    name: "question-completed",
    about: "Default vars, a question answered after a pause, an event emitted, a pause of time, an output.",
    play() {
      const run = runOf(
        {
          count: {
            assign: { values: { "totals.net": "${vars.amount * 2}", none: null }, append: { log: "counted at ${now}" } },
            next: [{ to: "ask" }],
          },
          ask: {
            askUser: {
              prompt: "Pay ${vars.totals.net} to ${vars.name}?",
              details: { amount: "${vars.amount}" },
              choices: ["yes", "no"],
              allowFreeText: true,
              assignees: ["finance"],
              timeout: "72h",
              defaultAnswer: "no",
            },
            resultKey: "reply",
            next: [{ to: "refused", when: "vars.reply.answer == 'no'" }, { to: "tell" }],
          },
          refused: { fail: { code: "REFUSED", message: "refused" } },
          tell: {
            emitEvent: { name: "paid", scope: "SCOPE_GLOBAL", key: "${vars.name}", payload: { net: "${vars.totals.net}" } },
            resultKey: "told",
            next: [{ to: "say" }],
          },
          say: { answerUser: { message: "Paid ${vars.name}." }, next: [{ to: "rest" }] },
          rest: { waitUntil: { after: "1h" }, resultKey: "rested", next: [{ to: "forget" }] },
          forget: { assign: { values: {}, unset: ["none", "log.0"] }, next: [{ to: "done" }] },
          done: { complete: { output: { answer: "${vars.reply.answer}", by: "${vars.reply.answered_by}" } } },
        },
        {
          vars: { amount: 12.5, name: "Zoë 🎉", "odd/name~": [1, null, true] },
          actorId: "ada",
          sessionId: "session-1",
          labels: { team: "finance" },
          workflow: {
            defaultVars: { amount: 1, currency: "EUR" },
            limits: { runTimeout: "30d", maxSteps: 100 },
          },
        },
      );
      run.perform({ type: "pause", actorId: "bob", reason: "lunch" });
      run.world.pass(1);
      run.perform({ type: "unpause", actorId: "bob" });
      run.world.pass(HOUR_MS);
      run.perform({
        type: "answer",
        waitId: run.state.wait!.wait_id,
        payload: { answer: "yes, but late" },
        requestId: "request-1",
        actorId: "carol",
      });
      run.settle();
      run.world.pass(HOUR_MS);
      run.wake();
      return run;
    },
  },
  {
    name: "events-completed",
    about: "Event waits: with and without key, a wildcard, a timeout, an answer instead of an event; cursors.",
    play() {
      const run = runOf(
        {
          first: {
            waitEvent: { names: ["order.*", "never"], scope: "SCOPE_GLOBAL", key: "k1" },
            resultKey: "first",
            next: [{ to: "second" }],
          },
          second: { waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL" }, resultKey: "second", next: [{ to: "third" }] },
          third: { waitEvent: { names: ["tick"], timeout: "10s" }, resultKey: "third", next: [{ to: "fourth" }] },
          fourth: { waitEvent: { names: ["tock"], scope: "SCOPE_SESSION" }, resultKey: "fourth", next: [{ to: "fifth" }] },
          fifth: { waitEvent: { names: ["order.*"], scope: "SCOPE_GLOBAL", key: "k1" } },
        },
        { vars: {} },
      );
      run.world.emit({ name: "order.paid", key: "k2", payload: 2 });
      run.world.emit({ name: "order.lost", key: "k1", payload: { n: [1] } });
      run.world.emit({ name: "order.paid", key: "k1", payload: 3, actorId: "shop" });
      run.wake();
      run.world.pass(10_000);
      run.wake();
      run.answer({ from: "a person" });
      return run;
    },
  },
  {
    name: "failures-failed",
    about: "A node's on_error, an edge that is missing, the workflow's on_error, a result that cannot be written, a fail node.",
    play() {
      const run = runOf(
        {
          evaluate: { assign: { values: { x: "${1 / 0}" } }, onError: "edges", next: [{ to: "edges" }] },
          edges: { assign: { values: { seen: "${error.code}" } }, next: [{ to: "end", when: "false" }], onError: "write" },
          write: { answerUser: { message: "${error.code}" }, resultKey: "seen.below", next: [{ to: "end" }] },
          rescue: { assign: { values: { last: "${error}" } }, next: [{ to: "end" }] },
          end: { fail: { code: "GIVEN_UP", message: "after ${vars.last.code} at ${vars.last.node_id}" } },
        },
        { workflow: { onError: "rescue" } },
      );
      return run;
    },
  },
  {
    name: "cancelled",
    about: "A start for later, paused; cancelled while it waits, with on_cancel, which waits and fails.",
    play() {
      const workflow = workflowOf(
        {
          ask: { askUser: { prompt: "?" }, next: [{ to: "end" }] },
          end: { complete: {} },
          undo: { waitUntil: { after: "5s" }, next: [{ to: "report" }] },
          report: { fail: { code: "UNDONE", message: "undone" } },
        },
        { onCancel: "undo" },
      );
      const run = createTestRun(workflow, { paused: true, startAt: parseInstant("2026-03-01T09:00:30Z") });
      run.perform({ type: "unpause" });
      run.world.pass(30_000);
      run.wake();
      run.perform({ type: "cancel", actorId: "ada", reason: "no longer needed" });
      run.settle();
      run.world.pass(5_000);
      run.wake();
      return run;
    },
  },
  {
    name: "cancelled-at-once",
    about: "Cancelled by nobody in particular, without on_cancel.",
    play() {
      const run = runOf({ ask: { askUser: { prompt: "?", answerSchema: { type: "number" } } } });
      run.perform({ type: "cancel" });
      return run;
    },
  },
  {
    name: "calls-timed-out",
    about: "Tool calls in flight, paused and unpaused with them, when the run_timeout passes.",
    play() {
      const run = runOf(
        {
          pay: {
            toolCalls: { calls: [{ name: "pay", arguments: { to: "${vars.to}" } }, { name: "mail", callId: "m-1" }] },
            next: [{ to: "end" }],
          },
          end: { complete: {} },
        },
        { vars: { to: "x" }, workflow: { limits: { runTimeout: "1m" } } },
      );
      run.perform({ type: "pause" });
      run.perform({ type: "unpause" });
      run.world.pass(60_000);
      run.wake();
      return run;
    },
  },
  {
    name: "calls-in-flight",
    about: "A handler and nothing else: the run is under way.",
    play: () => runOf({ think: { handler: {} } }, { runId: "run-2", parentRunId: "run-1", rootRunId: "run-0" }),
  },
  {
    name: "waiting",
    about: "A custom schema, a run that still waits, paused.",
    play() {
      const answerSchema = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };
      const run = runOf({ ask: { askUser: { prompt: "How many?", answerSchema }, resultKey: "reply" } });
      run.perform({ type: "pause" });
      return run;
    },
  },
];

function writeMissing(): void {
  for (const { name, about, play } of ledgers) {
    const file = path.join(GOLDEN_FOLDER, `${name}.json`);
    if (existsSync(file)) continue;
    const run = play();
    const { sealed } = sealRecords(run.records, NO_PREVIOUS_HASH);
    writeFileSync(file, `${JSON.stringify(toFile(about, sealed, run.state), null, 2)}\n`, { flag: "wx" });
    console.log(`wrote ${name}: ${sealed.length} records, ${run.state.status}`);
  }
}

if (import.meta.main) writeMissing();
