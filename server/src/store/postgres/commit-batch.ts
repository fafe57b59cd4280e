/**
 * The function that commits a batch, composed of its sections: one statement for the client, one transaction, all or
 * nothing.
 *
 * Why a function and not one statement of CTEs:
 * - Each statement in it sees what the locks before it have waited for.
 * - Sections that a batch does not have cost nothing.
 * - Its plans are kept even if a pooler forbids prepared statements.
 * - The settings below apply to these plans alone. Without them a plan made while a table is small (full scans win)
 *   stays in use until the next analyze, a minute into a rush of starts.
 *
 * The joins to `LATERAL (SELECT ctid … FOR UPDATE)` have only one possible plan: for each row, first the key's index
 * and then the row itself. With a plain join the planner might read a whole index because the table was once small.
 *
 * Lock order: the order of the list. The commit waits for the lane and channels, and never for mail, jobs that settle
 * or rows of runs. It waits for jobs that are cancelled or held. Verbs that have those locked wait for nothing. A
 * commit of the other server may have settled them in a group that it then refused, and may wait itself: Postgres ends
 * one of the two, and its batch is committed again. A start waits for other starts of the same id. Everything else
 * belongs to runs whose rows are locked.
 */
import { type DatabaseFunction, nameFunction } from "./functions.ts";
import { BATCHES } from "./sections/batches.ts";
import { BEHIND } from "./sections/behind.ts";
import { CANCELS } from "./sections/cancels.ts";
import { CHANNELS } from "./sections/channels.ts";
import { CLOSINGS } from "./sections/closings.ts";
import { EVENTS } from "./sections/events.ts";
import { FENCE } from "./sections/fence.ts";
import { HOLDS } from "./sections/holds.ts";
import { JOBS } from "./sections/jobs.ts";
import { MAIL } from "./sections/mail.ts";
import { MOVES } from "./sections/moves.ts";
import { NOTICES } from "./sections/notices.ts";
import { PARTS } from "./sections/parts.ts";
import { READ_MAIL } from "./sections/read-mail.ts";
import { RECORD_PARTS } from "./sections/record-parts.ts";
import { RECORDS } from "./sections/records.ts";
import type { ParameterType, Section } from "./sections/section.ts";
import { SETTLEMENTS } from "./sections/settlements.ts";
import { STARTS } from "./sections/starts.ts";
import { WAITS } from "./sections/waits.ts";

export const SECTIONS: readonly Section[] = [
  FENCE,
  CHANNELS,
  READ_MAIL,
  SETTLEMENTS,
  MOVES,
  BEHIND,
  CANCELS,
  HOLDS,
  STARTS,
  PARTS,
  RECORDS,
  RECORD_PARTS,
  CLOSINGS,
  WAITS,
  JOBS,
  MAIL,
  NOTICES,
  EVENTS,
  BATCHES,
];

export type CommitFunction = DatabaseFunction & {
  readonly sections: readonly Section[];
  /**
   * Returns the statement that calls the function with lane, batch number and these parameters, as a template.
   * Parameters are passed by name. Those of rows that a batch does not have are left out, since each costs a cast and a
   * bind. Batches have few different sets of rows, so the same few statements recur.
   */
  callWith(parameters: readonly string[]): TemplateStringsArray;
};

export function commitFunctionOf(sections: readonly Section[]): CommitFunction {
  const parameters = sections.flatMap((section) => Object.entries(section.parameters));
  const textsOf = (key: "variables" | "check" | "write") => sections.map((section) => section[key] ?? "").join("");
  const created = nameFunction(
    "commit_batch",
    (name) => `CREATE FUNCTION ${name}(
  p_lane_id bigint,
  p_batch_no bigint${parameters.map(([parameter, type]) => `,\n  ${parameter} ${type} DEFAULT NULL`).join("")}
) RETURNS TABLE (item int, outcome text, transition int, number bigint)
LANGUAGE plpgsql
SET lock_timeout = '1s'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  -- Groups that are not committed: the number of the item, the number of the refused transition, and the cause. An item
  -- may appear several times; the first counts.
  refused int[] := '{}';
  refused_by int[] := '{}';
  causes text[] := '{}';${textsOf("variables")}
BEGIN${textsOf("check")}

  -- From here on, all refusals are known.${textsOf("write")}

  IF cardinality(refused) > 0 THEN
    RETURN QUERY
    SELECT r.item, r.cause, r.transition, NULL::bigint
    FROM unnest(refused, causes, refused_by) AS r (item, cause, transition);
  END IF;
END
$$;`,
  );
  const types = new Map(parameters);
  const calls = new Map<string, TemplateStringsArray>();
  return {
    ...created,
    sections,
    callWith(names) {
      const key = names.join();
      const known = calls.get(key);
      if (known !== undefined) return known;
      const call = callOf(
        created.name,
        names.map((name) => [name, types.get(name)!]),
      );
      calls.set(key, call);
      return call;
    },
  };
}

function callOf(name: string, parameters: readonly [string, ParameterType][]): TemplateStringsArray {
  const strings = [`select item, outcome, transition, number from ${name}(p_lane_id => `, "::bigint, p_batch_no => "];
  // Every value is sent as text: postgres.js would encode a value that it knows to be JSON or an array once more.
  let cast = "::bigint";
  for (const [parameter, type] of parameters) {
    strings.push(`${cast}, ${parameter} => `);
    cast = `::text${type === "text" ? "" : `::${type}`}`;
  }
  strings.push(`${cast})`);
  return Object.assign(strings, { raw: strings });
}

export const COMMIT_BATCH = commitFunctionOf(SECTIONS);
