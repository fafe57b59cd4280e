/** Mail: what others leave for a run without touching its row. A run reads its mail together, in order. */
import { hasEnded, type RunState } from "./run.ts";
import { cancelRun, pauseRun, unpauseRun } from "./control-run.ts";
import type { Command, Decision } from "./decision.ts";
import type { Instant } from "./duration.ts";
import type { Workflow } from "./graph/graph.ts";
import type { Json } from "./json/json.ts";
import type { StepRecordDraft } from "./records.ts";
import { defined } from "./defined.ts";

/** One letter. What its body holds is the kind's own. */
export type Letter = { kind: string; body: Json };

/** What a letter asks that somebody else asked of a run. */
export type ControlKind = "cancel" | "pause" | "unpause";

export type MailStimulus = { type: "mail"; now: Instant; letters: readonly Letter[] };

/** The letter that carries a control of a run. */
export function controlLetter(kind: ControlKind, asked: { actorId?: string; reason?: string }): Letter {
  const { actorId, reason } = asked;
  return {
    kind,
    body: {
      ...defined({ actor_id: actorId, reason }),
    },
  };
}

/** How each kind of letter is read. A letter of a kind that this release does not know changes nothing. */
const READERS: {
  readonly [kind: string]: (run: RunState, letter: Letter, now: Instant, workflow: Workflow) => Decision;
} = {
  cancel: (run, letter, now, workflow) => cancelRun(run, { type: "cancel", now, ...askedIn(letter) }, workflow),
  pause: (run, letter, now) => pauseRun(run, { type: "pause", now, ...askedIn(letter) }),
  unpause: (run, letter, now) =>
    run.paused ? unpauseRun(run, { type: "unpause", now, ...askedIn(letter) }) : nothing(run),
};

/** Whether this release knows what a letter of this kind asks. */
export function isKnownLetter(kind: string): boolean {
  return Object.hasOwn(READERS, kind);
}

/** Acts on letters, each on the state that the one before it left. A letter that has nothing to change is passed over. */
export function readMail(run: RunState, { now, letters }: MailStimulus, workflow: Workflow): Decision {
  const records: StepRecordDraft[] = [];
  const commands: Command[] = [];
  let state = run;
  for (const letter of letters) {
    if (hasEnded(state)) break;
    const read = isKnownLetter(letter.kind) ? READERS[letter.kind]! : nothing;
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

function askedIn({ body }: Letter): { actorId?: string; reason?: string } {
  const { actor_id: actorId, reason } = body as { actor_id?: string; reason?: string };
  return { ...(actorId === undefined ? {} : { actorId }), ...(reason === undefined ? {} : { reason }) };
}
