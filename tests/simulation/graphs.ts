/** Graphs that ask, wait, listen, emit and count: what the simulation runs. */
import type { NodeDefinition, WorkflowDefinition } from "../../server/src/core/graph/definition.ts";

const done: NodeDefinition = { complete: { output: "${vars}" } };

/** Three rounds: a question, an event from the run itself, an event from outside, and a question that times out. */
const conversation: WorkflowDefinition = {
  workflowId: "conversation",
  entryNode: "ask",
  defaultVars: { round: 0 },
  onCancel: "undo",
  nodes: {
    ask: { askUser: { prompt: "Round ${vars.round}?" }, resultKey: "reply", next: [{ to: "note" }] },
    note: {
      emitEvent: { name: "note.made", scope: "SCOPE_SESSION", payload: "${vars.round}" },
      next: [{ to: "listen" }],
    },
    listen: {
      waitEvent: { names: ["note.*", "go"], scope: "SCOPE_SESSION" },
      resultKey: "heard",
      next: [{ to: "hurry" }],
    },
    hurry: {
      askUser: { prompt: "Quick!", timeout: "900ms", defaultAnswer: "none" },
      next: [{ to: "count" }],
    },
    count: {
      assign: { values: { round: "${vars.round + 1}" } },
      next: [{ to: "ask", when: "vars.round < 3" }, { to: "done" }],
    },
    undo: { assign: { values: { undone: true } }, next: [{ to: "done" }] },
    done,
  },
};

/** Steps with a commit each, a wait for a time, and three events of a channel that all runs share. */
const march: WorkflowDefinition = {
  workflowId: "march",
  entryNode: "step",
  defaultVars: { n: 0 },
  commitEveryStep: true,
  nodes: {
    step: {
      assign: { values: { n: "${vars.n + 1}" } },
      next: [{ to: "step", when: "vars.n < 12" }, { to: "rest" }],
    },
    rest: { waitUntil: { after: "700ms" }, next: [{ to: "one" }] },
    one: { waitEvent: { names: ["tick"], scope: "SCOPE_GLOBAL" }, next: [{ to: "two" }] },
    two: { waitEvent: { names: ["tick"], scope: "SCOPE_GLOBAL", timeout: "20s" }, next: [{ to: "three" }] },
    three: { waitEvent: { names: ["t*"], scope: "SCOPE_GLOBAL" }, next: [{ to: "done" }] },
    done,
  },
};

/** Waits for an event that has this run's key, or a timeout; then for one that all runs get. */
const relay: WorkflowDefinition = {
  workflowId: "relay",
  entryNode: "listen",
  nodes: {
    listen: {
      waitEvent: { names: ["baton"], scope: "SCOPE_WORKFLOW", key: "${vars.key}", timeout: "2500ms" },
      resultKey: "baton",
      next: [{ to: "tick" }],
    },
    tick: { emitEvent: { name: "tick", scope: "SCOPE_GLOBAL" }, next: [{ to: "again" }] },
    again: { waitEvent: { names: ["go"], scope: "SCOPE_RUN" }, next: [{ to: "done" }] },
    done,
  },
};

export const GRAPHS = [conversation, march, relay] as const;
