/** Mail: requests to a run that are left without touching its row. A run reads all of its mail at once, in order. */
import { hasEnded, type RunState } from "./run.ts";
import { cancelRun, pauseRun, unpauseRun } from "./control-run.ts";
import type { Command, Decision } from "./decision.ts";
import type { Instant } from "./duration.ts";
import type { Workflow } from "./graph/graph.ts";
import type { Json } from "./json/json.ts";
import type { StepRecordDraft } from "./records.ts";
import { defined } from "./defined.ts";

/** One letter. The shape of its body depends on its kind. */
export type Letter = { kind: string; body: Json };

/** The operations that a letter can ask of a run. */
export type ControlKind = "cancel" | "pause" | "unpause";

export type MailStimulus = { type: "mail"; now: Instant; letters: readonly Letter[] };

/** The letter that asks for an operation on a run. */
export function controlLetter(kind: ControlKind, request: { actorId?: string; reason?: string }): Letter {
  const { actorId, reason } = request;
  return {
    kind,
    body: {
      ...defined({ actor_id: actorId, reason }),
    },
  };
}

/** How to act on each kind of letter. A letter of a kind that this release does not know changes nothing. */
const READERS: {
  readonly [kind: string]: (run: RunState, letter: Letter, now: Instant, workflow: Workflow) => Decision;
} = {
  cancel: (run, letter, now, workflow) => cancelRun(run, { type: "cancel", now, ...askedIn(letter) }, workflow),
  pause: (run, letter, now) => pauseRun(run, { type: "pause", now, ...askedIn(letter) }),
  unpause: (run, letter, now) =>
    run.paused ? unpauseRun(run, { type: "unpause", now, ...askedIn(letter) }) : nothing(run),
};

/** The kinds of letters that this release knows. */
export const LETTER_KINDS: readonly string[] = Object.keys(READERS);

/** Acts on letters in order, each on the state after the one before it. A letter that changes nothing is skipped. */
export function readMail(run: RunState, { now, letters }: MailStimulus, workflow: Workflow): Decision {
  const records: StepRecordDraft[] = [];
  const commands: Command[] = [];
  let state = run;
  for (const letter of letters) {
    if (hasEnded(state)) break;
    const read = Object.hasOwn(READERS, letter.kind) ? READERS[letter.kind]! : nothing;
    const decision = read(state, letter, now, workflow);
    state = decision.run;
    records.push(...decision.records);
    commands.push(...decision.commands);
  }
  return { run: state, records, commands };
}

function nothing(run: RunState): Decision {
  return { run, records: [], commands: [] };
}

/** Who asks, and why. A body that is not an object says neither. */
function askedIn({ body }: Letter): { actorId?: string; reason?: string } {
  const isObject = typeof body === "object" && body !== null && !Array.isArray(body);
  const { actor_id: actorId, reason } = (isObject ? body : {}) as { actor_id?: string; reason?: string };
  return { ...(actorId === undefined ? {} : { actorId }), ...(reason === undefined ? {} : { reason }) };
}
