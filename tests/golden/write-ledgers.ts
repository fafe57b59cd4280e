/**
 * Writes the golden ledgers that do not exist yet: `node tests/golden/write-ledgers.ts`. With `--anew` it writes all of
 * them.
 *
 * A golden ledger stands for what a release has stored in people's databases. After the first release none is written
 * again: a new kind of record, key or operation gets a new ledger. Until records are signed there is no such release.
 */
import { openWaitOf } from "../../server/src/core/run.ts";
import type { StepRecordDraft } from "../../server/src/core/records.ts";
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseInstant } from "../../server/src/core/duration.ts";
import { NO_PREVIOUS_HASH } from "../../server/src/core/ledger-format.ts";
import type { HandlerOutcome } from "../../server/src/core/handler-request.ts";
import { sealRecords } from "../../server/src/engine/transition/seal.ts";
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
            assign: {
              values: { "totals.net": "${vars.amount * 2}", none: null },
              append: { log: "counted at ${now}" },
            },
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
            emitEvent: {
              name: "paid",
              scope: "SCOPE_GLOBAL",
              key: "${vars.name}",
              payload: { net: "${vars.totals.net}" },
            },
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
        waitId: openWaitOf(run.state)!.wait_id,
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
          second: {
            waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL" },
            resultKey: "second",
            next: [{ to: "third" }],
          },
          third: { waitEvent: { names: ["tick"], timeout: "10s" }, resultKey: "third", next: [{ to: "fourth" }] },
          fourth: {
            waitEvent: { names: ["tock"], scope: "SCOPE_SESSION" },
            resultKey: "fourth",
            next: [{ to: "fifth" }],
          },
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
    about: "A node's on_error, a missing edge, the workflow's on_error, a result that cannot be written, a fail node.",
    play() {
      const run = runOf(
        {
          evaluate: { assign: { values: { x: "${1 / 0}" } }, onError: "edges", next: [{ to: "edges" }] },
          edges: {
            assign: { values: { seen: "${error.code}" } },
            next: [{ to: "end", when: "false" }],
            onError: "write",
          },
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
  {
    name: "calls-completed",
    about:
      "Parallel calls: ended out of order, retried, failed as data, paused, approved, denied; a custom effect.",
    play() {
      const run = runOf(
        {
          look: {
            toolCalls: {
              calls: [
                { name: "list", arguments: { in: "${vars.folder}" } },
                { name: "read", callId: "r-1" },
                { name: "search" },
              ],
            },
            resultKey: "found",
            next: [{ to: "write", when: "result.results[0].output.size() == 2" }],
          },
          write: {
            toolCalls: {
              calls: [{ name: "write", arguments: { text: "${vars.found}" }, callId: "w" }],
              requireApproval: true,
            },
            resultKey: "written",
            next: [{ to: "mail" }],
          },
          mail: {
            toolCalls: { callsFrom: "[{'name': 'mail', 'arguments': {'to': 'ada'}}]", requireApproval: true },
            resultKey: "mailed",
            next: [{ to: "move" }],
          },
          move: {
            custom: { type: "robot.move", payload: { to: "${vars.folder}" } },
            resultKey: "moved",
            next: [{ to: "end" }],
          },
          end: { complete: { output: "${vars.found.results.map(r, r.success)}" } },
        },
        { vars: { folder: "/home" }, sessionId: "session-1" },
      );
      run.settleCalls({
        ordinal: 2,
        failure: { code: "TOOL_FAILED", message: "away", details: { tries: [1] } },
        actorId: "w-1",
      });
      run.world.pass(500);
      run.settleCalls({ ordinal: 0, output: ["a", "é🎉"], actorId: "w-2" });
      run.perform({ type: "pause" });
      run.settleCalls({ ordinal: 2, failure: { code: "BAD_INPUT", message: "no pattern", nonRetryable: true } });
      run.perform({ type: "unpause" });
      run.settleCalls({ ordinal: 1, output: null });
      const approve = { answer: "approve" };
      run.perform({
        type: "answer",
        waitId: openWaitOf(run.state)!.wait_id,
        payload: approve,
        requestId: "request-1",
        actorId: "ada",
      });
      run.settleCalls({ output: { bytes: 7 } });
      run.answer({ answer: "deny" });
      run.settleCalls({ failure: { code: "ROBOT_BUSY", message: "busy" } });
      run.world.pass(1_000);
      run.settleCalls({ output: { at: [1.5, -0.1] }, actorId: "robot" });
      return run;
    },
  },
  {
    name: "handlers-completed",
    about:
      "Step plans, at once and by a job: patches, each with what follows in place of the node's edges and result key.",
    play() {
      const plans: HandlerOutcome[] = [
        {
          type: "plan",
          actorId: "w-1",
          output: {
            patch: [
              { op: "set", path: "/odd~1name", value: { text: "${now}" } },
              { op: "APPEND", path: "/log", values: ["one", 2] },
              { op: "PATCH_OP_KIND_UNSET", path: "/old" },
            ],
            next_node: "think",
          },
        },
        {
          type: "plan",
          output: {
            toolCalls: { calls: [{ name: "read" }, { name: "list" }] },
            resultKey: "read.all",
            nextNode: "think",
          },
        },
        {
          type: "plan",
          output: { ask_user: { prompt: "${vars}?", choices: ["yes", "no"] }, result_key: "reply", next_node: "think" },
        },
        { type: "plan", output: { waitEvent: { names: ["tick"], scope: "global" }, nextNode: "think" } },
        {
          type: "plan",
          output: {
            emitEvent: { name: "tock", payload: [1] },
            patch: [{ op: "set", path: "/told", value: true }],
            nextNode: "think",
          },
        },
        { type: "failed", failure: { code: "HANDLER_FAILED", message: "threw" }, random: 0.25 },
        { type: "lost" },
      ];
      const next = [{ to: "think" }, { to: "last" }];
      const run = runOf(
        { think: { handler: {}, next }, last: { handler: {}, next: [{ to: "think" }] } },
        { vars: { old: 1 }, handler: () => plans.shift()! },
      );
      run.settleCalls({ ordinal: 1, output: "list" }, { ordinal: 0, output: { text: "read" } });
      run.answer({ answer: "yes" });
      run.world.emit({ name: "tick", payload: "now", actorId: "clock" });
      run.wake();
      run.world.pass(1_000);
      run.settleCalls({ failure: { code: "HANDLER_FAILED", message: "threw again" }, actorId: "w-1" });
      run.settleCalls({
        output: { custom: { type: "robot.move", payload: {} }, patch: [], nextNode: "last" },
        actorId: "w-2",
      });
      run.settleCalls({ output: "moved" });
      run.settleCalls({
        output: { completeOutput: { done: null }, patch: [{ op: "append", path: "/log", values: [3] }] },
      });
      return run;
    },
  },
  {
    name: "calls-failed",
    about:
      "A failed call and a denial that fail their nodes, an invalid plan, the workflow's on_error, a plan's fail.",
    play() {
      const plans: HandlerOutcome[] = [
        { type: "plan", output: { nextNode: "nowhere" } },
        {
          type: "plan",
          output: {
            fail: { code: "GIVEN_UP", message: "enough" },
            patch: [{ op: "set", path: "/why", value: "${error}" }],
          },
        },
      ];
      const asError = { onFailure: "TOOL_FAILURE_AS_ERROR" } as const;
      const run = runOf(
        {
          pay: {
            toolCalls: { calls: [{ name: "pay" }, { name: "mail" }], ...asError },
            onError: "ask",
            next: [{ to: "ask" }],
          },
          ask: {
            toolCalls: { calls: [{ name: "pay" }], requireApproval: true, ...asError },
            onError: "think",
            next: [{ to: "think" }],
          },
          think: { handler: {}, onError: "move", next: [{ to: "move" }] },
          move: { custom: { type: "robot.move" }, policy: { maxAttempts: 1 }, next: [{ to: "end" }] },
          rescue: { handler: {}, next: [{ to: "end" }] },
          end: { complete: {} },
        },
        { workflow: { onError: "rescue" }, handler: () => plans.shift()! },
      );
      run.settleCalls(
        { failure: { code: "NO_FUNDS", message: "no funds", nonRetryable: true } },
        { ordinal: 1, output: 1 },
      );
      run.answer({ answer: "deny" });
      run.settleCalls({ failure: { code: "ROBOT_LOST", message: "lost" }, actorId: "robot" });
      return run;
    },
  },
  {
    name: "calls-cancelled",
    about: "Cancelled with calls in flight, of which one had come back; on_cancel makes a call that fails.",
    play() {
      const run = runOf(
        {
          pay: { toolCalls: { calls: [{ name: "pay" }, { name: "mail" }] }, next: [{ to: "end" }] },
          end: { complete: {} },
          undo: { toolCalls: { calls: [{ name: "refund" }], onFailure: "TOOL_FAILURE_AS_ERROR" } },
        },
        { workflow: { onCancel: "undo" } },
      );
      run.settleCalls({ output: { id: 7 } });
      run.perform({ type: "cancel", actorId: "ada" });
      run.settle();
      run.settleCalls({ failure: { code: "TOO_LATE", message: "settled", nonRetryable: true } });
      return run;
    },
  },
  {
    name: "calls-retrying",
    about:
      "The calls of a step plan: one back, one failed, one to be tried again, one under way; what follows is known.",
    play() {
      const calls = ["a", "b", "c", "d"].map((name) => ({ name }));
      const output = { toolCalls: { calls, onFailure: "AS_ERROR" }, resultKey: "all", nextNode: "end" };
      const run = runOf(
        { think: { handler: {}, next: [{ to: "end" }] }, end: { complete: {} } },
        { handler: () => ({ type: "plan", output }) },
      );
      run.settleCalls(
        { ordinal: 3, failure: { code: "TOOL_FAILED", message: "away" }, random: 0.75 },
        { ordinal: 1, failure: { code: "BAD_INPUT", message: "no", nonRetryable: true } },
        { ordinal: 0, output: [[]] },
      );
      return run;
    },
  },
];

function writeLedgers({ anew }: { anew: boolean }): void {
  for (const { name, about, play } of ledgers) {
    const file = path.join(GOLDEN_FOLDER, `${name}.json`);
    if (existsSync(file) && !anew) continue;
    const run = play();
    const { sealed } = sealRecords(run.records as StepRecordDraft[], NO_PREVIOUS_HASH);
    writeFileSync(file, `${JSON.stringify(toFile(about, sealed, run.state), null, 2)}\n`);
    console.log(`wrote ${name}: ${sealed.length} records, ${run.state.status}`);
  }
}

if (import.meta.main) writeLedgers({ anew: process.argv.includes("--anew") });
