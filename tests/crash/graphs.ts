/**
 * The graphs of the load, as a client sends them. Each can end in one way only, however often its servers are killed.
 */
export const SCOPES = ["RUN", "SESSION", "WORKFLOW", "GLOBAL"] as const;
export type ScopeName = (typeof SCOPES)[number];

/** How many events a listener takes. */
export const EVENTS_WANTED = 4;
/** How often a timer run sleeps. */
export const NAPS = 3;
/**
 * How often two runs send each other an event: often enough that a kill finds one that is committed and not yet
 * delivered. Such an event is not sent again.
 */
export const ROUNDS = 12;

const done = (output: unknown) => ({ complete: { output } });

/** A question without a time limit, then one with a short one. */
const question = {
  workflowId: "question",
  entryNode: "ask",
  nodes: {
    ask: { askUser: { prompt: "Go on?", choices: ["yes", "no"] }, resultKey: "first", next: [{ to: "hurry" }] },
    hurry: {
      askUser: { prompt: "Still?", timeout: "${vars.patience}", defaultAnswer: "nobody" },
      resultKey: "second",
      next: [{ to: "done" }],
    },
    done: done({ first: "${vars.first.answer}", second: "${vars.second.answer}" }),
  },
};

const naps = {
  workflowId: "naps",
  entryNode: "nap",
  defaultVars: { naps: [] },
  nodes: {
    nap: { waitUntil: { after: "${vars.nap}" }, resultKey: "last", next: [{ to: "note" }] },
    note: {
      assign: { append: { naps: "${vars.last}" } },
      next: [{ to: "nap", when: `size(vars.naps) < ${NAPS}` }, { to: "done" }],
    },
    done: done("${vars.naps}"),
  },
};

/** Takes events one by one, after a time in which some arrive already. */
function listener(scope: ScopeName, keyed: boolean) {
  return {
    workflowId: listenerId(scope, keyed),
    entryNode: "settle",
    defaultVars: { got: [] },
    nodes: {
      settle: { waitUntil: { after: "${vars.settle}" }, next: [{ to: "listen" }] },
      listen: {
        waitEvent: { names: ["${vars.name}"], scope: `SCOPE_${scope}`, ...(keyed ? { key: "${vars.key}" } : {}) },
        resultKey: "last",
        next: [{ to: "note" }],
      },
      note: {
        assign: { append: { got: "${vars.last.event_id}" } },
        next: [{ to: "listen", when: "size(vars.got) < vars.wanted" }, { to: "done" }],
      },
      done: done("${vars.got}"),
    },
  };
}

export function listenerId(scope: ScopeName, keyed: boolean): string {
  return `listen-${scope.toLowerCase()}-${keyed ? "key" : "any"}`;
}

/** An event that races with a timeout; whichever is first, the event is taken once. */
const latecomer = {
  workflowId: "latecomer",
  entryNode: "first",
  nodes: {
    first: {
      waitEvent: { names: ["late"], timeout: "${vars.patience}" },
      resultKey: "first",
      next: [{ to: "second", when: "vars.first.timed_out" }, { to: "in_time" }],
    },
    second: { waitEvent: { names: ["late"] }, resultKey: "second", next: [{ to: "too_late" }] },
    in_time: done({ id: "${vars.first.event_id}", timed_out: false }),
    too_late: done({ id: "${vars.second.event_id}", timed_out: true }),
  },
};

/** Two runs of one session, in a channel that only they use: no event of others causes their events to be found. */
const sender = {
  workflowId: "sender",
  entryNode: "send",
  defaultVars: { round: 0, got: [] },
  nodes: {
    send: {
      emitEvent: {
        name: "parcel",
        scope: "SCOPE_SESSION",
        key: "${vars.peer}",
        payload: { from: "${run.run_id}", round: "${vars.round}" },
      },
      next: [{ to: "receipt" }],
    },
    receipt: {
      waitEvent: { names: ["receipt"], scope: "SCOPE_SESSION", key: "${run.run_id}" },
      resultKey: "receipt",
      next: [{ to: "count" }],
    },
    count: {
      assign: { values: { round: "${vars.round + 1}" }, append: { got: "${vars.receipt.payload}" } },
      next: [{ to: "send", when: `vars.round < ${ROUNDS}` }, { to: "done" }],
    },
    done: done("${vars.got}"),
  },
};

const receiver = {
  workflowId: "receiver",
  entryNode: "parcel",
  defaultVars: { got: [] },
  nodes: {
    parcel: {
      waitEvent: { names: ["parcel"], scope: "SCOPE_SESSION", key: "${run.run_id}" },
      resultKey: "parcel",
      next: [{ to: "reply" }],
    },
    reply: {
      emitEvent: {
        name: "receipt",
        scope: "SCOPE_SESSION",
        key: "${vars.parcel.payload.from}",
        payload: "${vars.parcel.payload.round}",
      },
      next: [{ to: "count" }],
    },
    count: {
      assign: { append: { got: "${vars.parcel.payload.round}" } },
      next: [{ to: "parcel", when: `size(vars.got) < ${ROUNDS}` }, { to: "done" }],
    },
    done: done("${vars.got}"),
  },
};

/** Computes without ever waiting: it is at work when its server dies. */
const spinner = {
  workflowId: "spinner",
  entryNode: "spin",
  defaultVars: { n: 0 },
  nodes: {
    spin: {
      assign: { values: { n: "${vars.n + 1}" } },
      next: [{ to: "spin", when: "vars.n < vars.turns" }, { to: "done" }],
    },
    done: done("${vars.n}"),
  },
};

/** Works, then asks a question that is never answered: only a cancel ends it. */
const doomed = {
  workflowId: "doomed",
  entryNode: "spin",
  onCancel: "tidy",
  defaultVars: { n: 0, tidied: 0 },
  nodes: {
    spin: {
      assign: { values: { n: "${vars.n + 1}" } },
      next: [{ to: "spin", when: "vars.n < vars.turns" }, { to: "ask" }],
    },
    ask: { askUser: { prompt: "Anybody?" }, next: [{ to: "done" }] },
    done: done(null),
    tidy: { assign: { values: { tidied: "${vars.tidied + 1}" } }, next: [{ to: "rest" }] },
    rest: { waitUntil: { after: "60ms" }, next: [{ to: "bye" }] },
    bye: done("bye"),
  },
};

/** Waits for an event that arrives while it is paused. */
const patient = {
  workflowId: "patient",
  entryNode: "hear",
  nodes: {
    hear: { waitEvent: { names: ["go"] }, resultKey: "go", next: [{ to: "nap" }] },
    nap: { waitUntil: { after: "40ms" }, next: [{ to: "done" }] },
    done: done("${vars.go.event_id}"),
  },
};

export const GRAPHS = [
  question,
  naps,
  latecomer,
  sender,
  receiver,
  spinner,
  doomed,
  patient,
  ...SCOPES.flatMap((scope) => [listener(scope, false), listener(scope, true)]),
];
