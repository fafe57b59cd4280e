/** The graphs that the guarantee tests run. */
import type { NodeDefinition, WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import { freshId } from "../support/engine.ts";

type Nodes = { [nodeId: string]: NodeDefinition };

/** Builds a graph whose first node is its entry. */
export function graph(nodes: Nodes, facts: Partial<WorkflowDefinition> = {}): WorkflowDefinition {
  return { workflowId: freshId("graph"), entryNode: Object.keys(nodes)[0]!, nodes, ...facts };
}

const done: NodeDefinition = { complete: { output: "${vars}" } };

/** Asks once and completes. */
export function askingGraph(question: NodeDefinition["askUser"] = {}): WorkflowDefinition {
  return graph({
    ask: { askUser: { prompt: "Sure?", ...question }, resultKey: "reply", next: [{ to: "done" }] },
    done,
  });
}

/** Asks `first`, then `second`. */
export function askingTwiceGraph(): WorkflowDefinition {
  return graph({
    ask: { askUser: { prompt: "First?" }, resultKey: "first", next: [{ to: "askAgain" }] },
    askAgain: { askUser: { prompt: "Second?" }, resultKey: "second", next: [{ to: "done" }] },
    done,
  });
}

/** Waits for one event and completes. */
export function listeningGraph(event: NodeDefinition["waitEvent"] = {}): WorkflowDefinition {
  return graph({
    listen: {
      waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL", ...event },
      resultKey: "event",
      next: [{ to: "done" }],
    },
    done,
  });
}

/** Asks once, then waits for one event. */
export function askingThenListeningGraph(event: NodeDefinition["waitEvent"] = {}): WorkflowDefinition {
  return graph({
    ask: { askUser: { prompt: "Sure?" }, resultKey: "reply", next: [{ to: "listen" }] },
    listen: {
      waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL", ...event },
      resultKey: "event",
      next: [{ to: "done" }],
    },
    done,
  });
}

/** Waits for three events of a name, one after the other. */
export function listeningThriceGraph(event: NodeDefinition["waitEvent"] = {}): WorkflowDefinition {
  const listen = (place: string, to: string): NodeDefinition => ({
    waitEvent: { names: ["order.paid"], scope: "SCOPE_GLOBAL", ...event },
    resultKey: place,
    next: [{ to }],
  });
  return graph({ one: listen("first", "two"), two: listen("second", "three"), three: listen("third", "done"), done });
}

/** Counts up without end, with a commit for each step: an active run. */
export function countingGraph(facts: Partial<WorkflowDefinition> = {}): WorkflowDefinition {
  return graph(
    {
      count: {
        assign: { values: { n: "${vars.n + 1}" } },
        next: [{ to: "count", when: "vars.n < 1000000" }, { to: "done" }],
      },
      done,
    },
    { commitEveryStep: true, defaultVars: { n: 0 }, ...facts },
  );
}
