/** `@ts-expect-error` lines state what the compiler reports about graphs: `tsc` fails if such a line has no error. */
import { WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import {
  answerUser,
  ask,
  askUser,
  call,
  callTools,
  custom,
  emitEvent,
  toolCalls,
  waitEvent,
  waitForTime,
  waitUntil,
} from "./effects/effects.ts";
import type { HandlerContext } from "./handler.ts";
import { assign, complete, completeRun, fail, failRun, handler } from "./nodes/nodes.ts";
import { jsonSchema } from "./schema.ts";
import { goTo } from "./step-plan.ts";
import { tool } from "./tool.ts";
import { type Workflow, workflow } from "./workflow.ts";

const vars = z.object({
  amount: z.number(),
  currency: z.enum(["EUR", "USD"]).default("EUR"),
  note: z.string().optional(),
  log: z.array(z.string()).default([]),
  reply: z.object({ answer: z.enum(["yes", "no"]) }).optional(),
  order: z.object({ total: z.number(), paid: z.boolean().optional() }).optional(),
});
const output = z.object({ paid: z.boolean() });
const options = { vars, output };

const lookUp = tool({ name: "look_up", input: z.object({ text: z.string() }) }, ({ text }) => ({
  length: text.length,
}));

function jsonOfWorkflow({ definition }: Workflow) {
  return toJson(WorkflowSchema, create(WorkflowSchema, definition));
}

describe("a graph of every kind", () => {
  const every = workflow(
    "every-kind",
    {
      ...options,
      defaults: { note: "none" },
      description: "One node of each kind.",
      onError: "refused",
      limits: { maxSteps: 50, runTimeout: "72h" },
      labels: { team: "finance" },
    },
    {
      check: handler({ next: ["ask", "pay"], policy: { maxAttempts: 5, jitter: "none" } }, ({ vars }) =>
        goTo(vars.amount > 100 ? "ask" : "pay", { set: { currency: "USD" }, append: { log: ["checked"] } }),
      ),
      ask: askUser(
        { prompt: "Pay ${vars.amount}?", choices: ["yes", "no"], timeout: "72h", defaultAnswer: "no" },
        { resultKey: "reply", next: [{ to: "pay", when: "result.answer == 'yes'" }, "refused"], onError: "refused" },
      ),
      pay: toolCalls(
        { calls: [{ name: "pay", arguments: { amount: "${vars.amount}" } }], onFailure: "as-error" },
        { next: "later", policy: { delivery: "at-most-once" } },
      ),
      later: waitUntil({ after: "1s" }, { next: "event" }),
      event: waitEvent({ names: ["paid.*"], scope: "global", key: "${run.run_id}" }, { next: "emit" }),
      emit: emitEvent({ name: "done", scope: "session", payload: { total: 1 } }, { next: "tell" }),
      tell: answerUser("Paid.", { next: "count" }),
      count: assign({ values: { "order.total": "${vars.amount + 1}" }, unset: ["note"] }, { next: "special" }),
      special: custom({ type: "printer", payload: ["a"] }, { next: "plain" }),
      plain: { askUser: { prompt: "Sure?", choices: ["yes"] }, resultKey: "reply", next: [{ to: "done" }] },
      done: complete({ paid: "${vars.amount > 0}" }),
      refused: fail("REFUSED", "nobody wanted to pay"),
    },
  );

  test("is the contract's", () => {
    expect(jsonOfWorkflow(every)).toMatchObject({
      workflowId: "every-kind",
      entryNode: "check",
      onError: "refused",
      defaultVars: { currency: "EUR", log: [], note: "none" },
      limits: { maxSteps: 50, runTimeout: "72h" },
      labels: { team: "finance" },
      varsSchema: { type: "object", required: ["amount"] },
      nodes: {
        check: { handler: {}, next: [{ to: "ask" }, { to: "pay" }], policy: { maxAttempts: 5, jitter: "JITTER_NONE" } },
        ask: {
          askUser: { prompt: "Pay ${vars.amount}?", choices: ["yes", "no"], timeout: "72h", defaultAnswer: "no" },
          resultKey: "reply",
          next: [{ to: "pay", when: "result.answer == 'yes'" }, { to: "refused" }],
          onError: "refused",
        },
        pay: {
          toolCalls: {
            calls: [{ name: "pay", arguments: { amount: "${vars.amount}" } }],
            onFailure: "TOOL_FAILURE_AS_ERROR",
          },
          policy: { delivery: "DELIVERY_AT_MOST_ONCE" },
        },
        later: { waitUntil: { after: "1s" } },
        event: { waitEvent: { names: ["paid.*"], scope: "SCOPE_GLOBAL", key: "${run.run_id}" } },
        emit: { emitEvent: { name: "done", scope: "SCOPE_SESSION", payload: { total: 1 } } },
        tell: { answerUser: { message: "Paid." } },
        count: { assign: { values: { "order.total": "${vars.amount + 1}" }, unset: ["note"] } },
        special: { custom: { type: "printer", payload: ["a"] } },
        plain: { askUser: { prompt: "Sure?", choices: ["yes"] }, resultKey: "reply" },
        done: { complete: { output: { paid: "${vars.amount > 0}" } } },
        refused: { fail: { code: "REFUSED", message: "nobody wanted to pay" } },
      },
    });
  });

  test("gives its handlers to a worker", async () => {
    expect([...every.handlers.keys()]).toEqual(["check"]);
    const plan = await every.handlers.get("check")?.(
      { vars: { amount: 120 }, run: {} as never, error: null, now: "2026-01-01T00:00:00Z" },
      {} as HandlerContext,
    );
    expect(plan).toEqual({
      nextNode: "ask",
      patch: [
        { op: "PATCH_OP_KIND_SET", path: "/currency", value: "USD" },
        { op: "PATCH_OP_KIND_APPEND", path: "/log", values: ["checked"] },
      ],
    });
  });
});

describe("types", () => {
  test("vars of handlers have defaults filled in, and results where nodes write them", () => {
    const typed = workflow("typed", options, {
      go: handler({}, ({ vars, error, now }, context) => {
        expectTypeOf(vars.amount).toEqualTypeOf<number>();
        expectTypeOf(vars.currency).toEqualTypeOf<"EUR" | "USD">();
        expectTypeOf(vars.log).toEqualTypeOf<string[]>();
        expectTypeOf(vars.note).toEqualTypeOf<string | undefined>();
        expectTypeOf(vars.reply?.answer).toEqualTypeOf<"yes" | "no" | undefined>();
        expectTypeOf(error?.code).toEqualTypeOf<string | undefined>();
        expectTypeOf(now).toEqualTypeOf<string>();
        expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
        return completeRun({ paid: true });
      }),
    });
    type Types = typeof typed extends Workflow<infer V, infer O, infer S> ? { vars: V; output: O; start: S } : never;
    expectTypeOf<Types["output"]>().toEqualTypeOf<{ paid: boolean }>();
    expectTypeOf<Types["vars"]["currency"]>().toEqualTypeOf<"EUR" | "USD">();
    expectTypeOf<Types["start"]["currency"]>().toEqualTypeOf<"EUR" | "USD" | undefined>();
    expectTypeOf<Types["start"]["amount"]>().toEqualTypeOf<number>();
    expectTypeOf(typed).toExtend<Workflow>();
    expect(typed.workflowId).toBe("typed");
  });

  test("targets", () => {
    const graphs = [
      workflow("w", options, {
        // @ts-expect-error -- no node is called nowhere
        a: askUser({ prompt: "?", choices: ["yes"] }, { next: "nowhere" }),
        // @ts-expect-error -- no node is called nowhere
        b: askUser({ prompt: "?" }, { next: [{ to: "end", when: "true" }, { to: "nowhere" }] }),
        // @ts-expect-error -- no node is called nowhere
        c: { askUser: { prompt: "?" }, next: [{ to: "nowhere" }] },
        // @ts-expect-error -- no node is called nowhere
        d: toolCalls({ calls: [{ name: "x" }] }, { next: "end", onError: "nowhere" }),
        // @ts-expect-error -- no node is called nowhere
        e: handler({ next: ["nowhere"] }, () => goTo("nowhere")),
        // @ts-expect-error -- the plan goes where the node does not
        f: handler({ next: ["end"] }, () => goTo("a")),
        // @ts-expect-error -- nor does a promise of one
        g: handler({ next: ["end"] }, async () => ask({ prompt: "?" }, { next: "a" })),
        // @ts-expect-error -- this node goes nowhere
        h: handler({}, () => goTo("end")),
        i: handler({ next: ["end", "a"] }, ({ vars }) => (vars.amount > 1 ? goTo("end") : goTo("a"))),
        j: handler({ next: "end" }, () => failRun("NO")),
        end: complete({ paid: true }),
      }),
      // @ts-expect-error -- no node is called nowhere
      workflow("w", { entry: "nowhere" }, { end: complete() }),
      // @ts-expect-error -- no node is called nowhere
      workflow("w", { onError: "nowhere" }, { end: complete() }),
    ];
    expect(graphs).toHaveLength(3);
  });

  test("paths, and what is written there", () => {
    const checked = workflow("w", options, {
      // @ts-expect-error -- vars have no answer
      a: askUser({ prompt: "?" }, { next: "end", resultKey: "answer" }),
      // @ts-expect-error -- maybe is no answer that vars.reply takes
      b: askUser({ prompt: "?", choices: ["yes", "maybe"] }, { next: "end", resultKey: "reply" }),
      // @ts-expect-error -- after the timeout the answer is null
      c: askUser({ prompt: "?", choices: ["yes"], timeout: "1s" }, { next: "end", resultKey: "reply" }),
      // @ts-expect-error -- any JSON may be the answer
      d: askUser({ prompt: "?" }, { next: "end", resultKey: "reply" }),
      e: askUser({ prompt: "?", answerSchema: z.enum(["yes", "no"]) }, { next: "end", resultKey: "reply" }),
      // @ts-expect-error -- the plain node too
      f: { askUser: { prompt: "?", choices: ["maybe"] }, resultKey: "reply", next: "end" },
      // @ts-expect-error -- vars have no order.sum
      g: assign({ values: { "order.sum": 1 } }, { next: "end" }),
      // @ts-expect-error -- the total is a number
      h: assign({ values: { "order.total": "one" } }, { next: "end" }),
      i: assign({ values: { "order.total": "${vars.amount}", "order.paid": true } }, { next: "end" }),
      // @ts-expect-error -- vars have no sum
      j: handler({ next: ["end"] }, () => goTo("end", { set: { sum: 1 } })),
      // @ts-expect-error -- the amount is a number
      k: handler({ next: ["end"] }, () => goTo("end", { set: { amount: "1" } })),
      // @ts-expect-error -- the log is a list of strings
      l: handler({ next: ["end"] }, () => goTo("end", { append: { log: [1] } })),
      // @ts-expect-error -- vars have no sum
      m: handler({ next: ["end"] }, () => goTo("end", { unset: ["sum"] })),
      // @ts-expect-error -- maybe is no answer that vars.reply takes
      n: handler({ next: ["end"] }, () => {
        return ask({ prompt: "?", choices: ["maybe"] }, { next: "end", resultKey: "reply" });
      }),
      o: handler({ next: ["end"] }, () => ask({ prompt: "?", choices: ["no"] }, { next: "end", resultKey: "reply" })),
      p: handler({ next: ["end"] }, () => goTo("end", { set: { "order.total": 1, log: ["a"] } })),
      end: complete({ paid: true }),
    });
    expect(checked.handlers.size).toBe(7);
  });

  test("outputs", () => {
    const checked = workflow("w", options, {
      // @ts-expect-error -- paid is a boolean
      a: complete({ paid: 1 }),
      // @ts-expect-error -- paid is missing
      b: complete(),
      // @ts-expect-error -- the plain node too
      c: { complete: { output: { paid: 1 } } },
      // @ts-expect-error -- a question's result is no such output
      d: askUser({ prompt: "?" }),
      // @ts-expect-error -- paid is a boolean
      e: handler({}, () => completeRun({ paid: 1 })),
      // @ts-expect-error -- paid is missing
      i: handler({}, () => completeRun()),
      // @ts-expect-error -- nor is a time's
      f: handler({}, async () => waitForTime({ after: "1s" })),
      g: complete({ paid: "${vars.reply.answer == 'yes'}" }),
      h: custom({ type: "anything" }),
    });
    expect(checked.handlers.size).toBe(3);
  });

  test("tools", () => {
    const schema = z.object({
      found: z
        .object({ results: z.array(z.object({ output: z.object({ length: z.number() }).nullable() })) })
        .optional(),
    });
    const short = z.object({
      found: z.object({ results: z.array(z.object({ output: z.string().nullable() })) }).optional(),
    });
    const fits = workflow(
      "w",
      { vars: schema },
      {
        a: toolCalls({ calls: [call(lookUp, { text: "${vars.text}" })] }, { resultKey: "found", next: "end" }),
        b: handler({ next: ["end"] }, () =>
          callTools({ calls: [call(lookUp, { text: "x" })] }, { resultKey: "found", next: "end" }),
        ),
        // The output type of this tool is not known.
        c: toolCalls({ calls: [{ name: "look_up" }] }, { resultKey: "found", next: "end" }),
        end: complete(),
      },
    );
    const fitsNot = workflow(
      "w",
      { vars: short },
      {
        // @ts-expect-error -- the tool gives no string
        a: toolCalls({ calls: [call(lookUp, { text: "x" })] }, { resultKey: "found", next: "end" }),
        end: complete(),
      },
    );
    // @ts-expect-error -- the text is a string
    expect(() => call(lookUp, { text: 1 })).not.toThrow();
    expect(call(lookUp, { text: "x" })).toEqual({ name: "look_up", arguments: { text: "x" } });
    expect([fits.handlers.size, fitsNot.handlers.size]).toEqual([1, 0]);
  });

  test("JSON Schemas have the given type, or no type", () => {
    const typed = workflow(
      "w",
      { vars: jsonSchema<{ n: number }>({ type: "object", properties: { n: { default: 1 } } }) },
      {
        // @ts-expect-error -- vars have no m
        a: handler({ next: ["b"] }, () => goTo("b", { set: { m: 1 } })),
        b: handler({}, ({ vars }) => completeRun(vars.n + 1)),
      },
    );
    const untyped = workflow(
      "w",
      { vars: { type: "object" } },
      {
        a: askUser({ prompt: "?" }, { resultKey: "any.path", next: "b" }),
        b: handler({}, ({ vars }) => completeRun(vars["any"])),
      },
    );
    expect(jsonOfWorkflow(typed)).toMatchObject({ defaultVars: { n: 1 } });
    expect(jsonOfWorkflow(untyped)).toMatchObject({ varsSchema: { type: "object" } });
  });
});

describe("what the compiler cannot see", () => {
  test("is reported at once", () => {
    const whole = { end: complete() };
    expect(() => workflow("w", { vars: z.object({ at: z.date() }) }, whole)).toThrow(
      /vars of workflow w has no JSON Schema/,
    );
    expect(() => askUser({ prompt: "?" }, { resultKey: "a..b" })).toThrow(/"a..b" is not a path/);
    expect(() => goTo("x", { set: { a: Number.NaN } })).toThrow(/the number NaN is not JSON/);
    expect(() => completeRun({ list: [undefined] })).toThrow(/undefined is not JSON: \/list\/0/);
    expect(() => complete({ big: 1n })).toThrow(/bigint is not JSON: \/big/);
    expect(() => complete({ seen: [new Set([1])] })).toThrow(/a Set is not JSON: \/seen\/0/);
    expect(() => complete({ text: "\uD800" })).toThrow(/lone surrogate is not JSON: \/text/);
    expect(() => complete({ "\uD800": 1 })).toThrow(/lone surrogate is not JSON/);
  });
});
