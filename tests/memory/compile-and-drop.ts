/**
 * Compiles and drops what clients and workers send, and prints the heap before and after as JSON:
 * `node --expose-gc tests/memory/compile-and-drop.ts <kind>`. The first half fills the caches, which are bounded; the
 * second half must not take more.
 */
import assert from "node:assert/strict";
import { compileWorkflow } from "../../server/src/core/compile/workflow.ts";
import { compileExpression } from "../../server/src/core/expression/compile.ts";
import { evaluate } from "../../server/src/core/expression/evaluate.ts";
import { compileSchema } from "../../server/src/core/json/json-schema.ts";
import { checkHello } from "../../server/src/engine/workers/connection/check-hello.ts";

const text = "ab".repeat(300);
const computed = compileExpression("matches(vars.text, vars.pattern)", { variables: ["vars"] });

const members = (of: number, count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`p${i}`, { type: "string", pattern: `^[a-z]{1,5}${of}$` }]),
  );

const KINDS: { [kind: string]: { times: number; drop: (index: number) => void | Promise<void> } } = {
  schemas: { times: 20_000, drop: (i) => void compileSchema({ enum: ["yes", "no", i] }).validate("yes") },
  patterns: {
    times: 1_500,
    drop: (i) => void compileSchema({ pattern: `(?i)[ab]*a[ab]{9}${i}$` }).validate(text),
  },
  "patterns computed at run time": {
    times: 1_500,
    drop: (i) => void evaluate(computed, { vars: { text: "abc", pattern: `^[a-z]{1,20}x${i}$` } }),
  },
  graphs: {
    times: 400,
    drop(i) {
      const askUser = { prompt: `\${vars.a + ${i}}`, answerSchema: { properties: members(i, 20) } };
      compileWorkflow({ workflowId: "w", entryNode: "ask", nodes: { ask: { askUser } } });
    },
  },
  "refused graphs": {
    times: 400,
    drop(i) {
      const askUser = { prompt: "${", answerSchema: { properties: members(i, 20) } };
      assert.throws(() => compileWorkflow({ workflowId: "w", entryNode: "ask", nodes: { ask: { askUser } } }));
    },
  },
  hellos: {
    times: 100,
    async drop(i) {
      const inputSchema = JSON.stringify({ type: "object", properties: members(i, 10) });
      const tools = Array.from({ length: 5 }, (_, tool) => ({ name: `tool${tool}`, inputSchema }));
      await checkHello({ tools, workflows: [], customTypes: [] } as unknown as Parameters<typeof checkHello>[0]);
    },
  },
};

async function heap(): Promise<number> {
  assert(globalThis.gc, "start node with --expose-gc");
  // What weak references held is freed by a later turn.
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const { times, drop } = KINDS[process.argv[2]!]!;
for (let i = 0; i < times; i++) await drop(i);
const before = await heap();
for (let i = 0; i < times; i++) await drop(times + i);
console.log(JSON.stringify({ before, after: await heap() }));
