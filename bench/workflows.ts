/** The measured workflows. Load generators register their graphs with the servers, workers serve their handlers. */
import {
  askUser,
  assign,
  complete,
  completeRun,
  emitEvent,
  goTo,
  handler,
  tool,
  toolCalls,
  waitEvent,
  workflow,
  type Node,
  type Tool,
  type Workflow,
} from "@abstractruntime/sdk";
import { setTimeout as sleep } from "node:timers/promises";
import { machineMs } from "./clock.ts";
import { createGate, type Gate } from "./gate.ts";

/** Nodes, and steps, of every run whose steps are counted: each node is executed once. */
export const STEPS_PER_RUN = 10;

/** A tick is slow, so that the machine is idle except for the take-over. */
const TICK_MS = 50;

/** Steps per turn of a handler of `loopingByGraph`, including the handler's own. */
export const GRAPH_STEPS_PER_TURN = 10;

/** Longer than a handler ever waits at the gate. */
const HELD_TIMEOUT = "1h";

const stepIds = Array.from({ length: STEPS_PER_RUN }, (_, index) => `step-${index + 1}`);

/** The compiler cannot check targets of nodes whose ids are computed; the server does. */
function unchecked(nodes: Record<string, Node>): Record<string, never> {
  return nodes as Record<string, never>;
}

/** Ten handlers, each of which writes a number into vars; the last one completes the run. */
function handlerChain(workflowId: string, commitEveryStep: boolean): Workflow {
  const nodes: Record<string, Node> = {};
  for (const [index, id] of stepIds.entries()) {
    const next = stepIds[index + 1];
    nodes[id] =
      next === undefined
        ? handler({}, async () => completeRun({ count: index }))
        : handler({ next: [next] }, async () => goTo(next, { set: { count: index } }));
  }
  return workflow(workflowId, { commitEveryStep }, unchecked(nodes));
}

/** Ten calls of a tool that does nothing, one after the other. */
function toolChain(): Workflow {
  const nodes: Record<string, Node> = {};
  for (const [index, id] of stepIds.entries()) {
    const next = stepIds[index + 1];
    const calls = { calls: [{ name: "nothing", arguments: { index } }] };
    nodes[id] = toolCalls(calls, next === undefined ? {} : { next });
  }
  return workflow("bench-tools", {}, unchecked(nodes));
}

/** Ten nodes without code: seven assign, one emits an event, one consumes it, one ends the run. */
const declarative = workflow(
  "bench-declarative",
  {},
  {
    "step-1": assign({ values: { count: 1 } }, { next: "step-2" }),
    "step-2": assign({ values: { count: "${vars.count + 1}" } }, { next: "step-3" }),
    "step-3": assign({ values: { count: "${vars.count + 1}" } }, { next: "step-4" }),
    "step-4": emitEvent({ name: "counted", payload: { count: "${vars.count}" } }, { next: "step-5" }),
    "step-5": assign({ values: { count: "${vars.count + 1}" } }, { next: "step-6" }),
    "step-6": waitEvent({ names: ["counted"] }, { resultKey: "event", next: "step-7" }),
    "step-7": assign({ values: { seen: "${vars.event.payload.count}" } }, { next: "step-8" }),
    "step-8": assign({ values: { count: "${vars.count + 1}" } }, { next: "step-9" }),
    "step-9": assign({ values: { count: "${vars.count + 1}" } }, { next: "step-10" }),
    "step-10": complete({ count: "${vars.count}" }),
  },
);

/** Asks; the answer leads to a handler, whose output says when it came to the worker. */
const answeredToHandler = workflow(
  "bench-answered-to-handler",
  {},
  {
    ask: askUser({ prompt: "Go on?" }, { next: "arrive" }),
    arrive: handler({}, () => completeRun({ arrivedMs: machineMs() })),
  },
);

/** The same with a tool, whose intent must be committed before it is offered. */
const answeredToTool = workflow(
  "bench-answered-to-tool",
  {},
  {
    ask: askUser({ prompt: "Go on?" }, { next: "arrive" }),
    arrive: toolCalls({ calls: [{ name: "clock", arguments: {} }] }, { resultKey: "found", next: "done" }),
    done: complete("${vars.found.results[0].output}"),
  },
);

/** Waits for a person, for ever. */
const waiting = workflow("bench-waiting", {}, { ask: askUser({ prompt: "Is anybody there?" }) });

/** Calls a tool that does not return. */
const held = workflow("bench-held", {}, { call: toolCalls({ calls: [{ name: "hold", arguments: {} }] }) });

/** What a worker reports about its jobs. */
export type Witness = { see(runId: string): void };

/** Never ends: one handler, again and again. */
function ticking(witness: Witness): Workflow {
  return workflow(
    "bench-ticking",
    { commitEveryStep: true },
    {
      tick: handler({ next: ["tick"] }, async (_input, { runId }) => {
        witness.see(runId);
        await sleep(TICK_MS);
        return goTo("tick");
      }),
    },
  );
}

/** Vars of a looping run. */
export type LoopVars = { group: string; documents?: object[] };

/** Loops over one handler, as often as the gate allows; each turn is a step. @param isWriting it writes a number to
 *  vars */
function looping(workflowId: string, gate: Gate, isWriting: boolean): Workflow {
  let turns = 0;
  return workflow(
    workflowId,
    { commitEveryStep: true },
    {
      turn: handler({ next: ["turn"], policy: { timeout: HELD_TIMEOUT } }, async ({ vars }, { runId }) => {
        const goesOn = await gate.pass((vars as LoopVars).group, runId);
        turns += 1;
        if (!goesOn) return completeRun(null);
        return isWriting ? goTo("turn", { set: { count: turns } }) : goTo("turn");
      }),
    },
  ) as Workflow;
}

/** The same, with steps of the graph between two turns of the handler; each writes a number into vars. */
function loopingByGraph(gate: Gate): Workflow {
  return workflow(
    "bench-looping-by-graph",
    { commitEveryStep: true },
    {
      turn: handler({ next: ["count"], policy: { timeout: HELD_TIMEOUT } }, async ({ vars }, { runId }) => {
        const goesOn = await gate.pass((vars as LoopVars).group, runId);
        return goesOn ? goTo("count", { set: { count: 1 } }) : completeRun(null);
      }),
      count: assign(
        { values: { count: "${vars.count + 1}" } },
        { next: [{ to: "count", when: `vars.count < ${GRAPH_STEPS_PER_TURN}` }, { to: "turn" }] },
      ),
    },
  ) as Workflow;
}

const nobody: Witness = { see: () => undefined };

export type WorkflowName = keyof ReturnType<typeof createWorkflows>;

export function createWorkflows(witness: Witness = nobody, gate: Gate = createGate()) {
  return {
    handlers: handlerChain("bench-handlers", true),
    handlersAhead: handlerChain("bench-handlers-ahead", false),
    tools: toolChain(),
    declarative: declarative as Workflow,
    answeredToHandler: answeredToHandler as Workflow,
    answeredToTool: answeredToTool as Workflow,
    waiting: waiting as Workflow,
    held: held as Workflow,
    ticking: ticking(witness),
    looping: looping("bench-looping", gate, true),
    loopingIdly: looping("bench-looping-idly", gate, false),
    loopingByGraph: loopingByGraph(gate),
  };
}

export function createTools(witness: Witness): Tool[] {
  return [
    tool({ name: "nothing", delivery: "at-least-once" }, () => ({ done: true })),
    tool({ name: "clock" }, () => ({ arrivedMs: machineMs() })),
    tool({ name: "hold" }, async (_args, { runId, signal }) => {
      witness.see(runId);
      await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    }),
  ];
}
