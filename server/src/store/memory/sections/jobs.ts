/** New jobs, already leased if a worker was found before the commit. */
import { BatchRejectedError } from "../../contract/errors.ts";
import { rowKey } from "../database.ts";
import { createJobs } from "../jobs.ts";
import { assertStorable, assertTexts, committedOf, type Section } from "./section.ts";

export const JOBS: Section = {
  name: "jobs",
  check(hand) {
    for (const { transition } of hand.transitions) {
      for (const job of transition.jobs) {
        assertTexts([job.idempotency_key, job.name, job.call_id, job.fairnessKey]);
        assertStorable(job.payload);
      }
    }
    const keys = committedOf(hand).flatMap(({ tenantId, jobs }) =>
      jobs.map((job) => rowKey(tenantId, job.idempotency_key)),
    );
    if (new Set(keys).size < keys.length || keys.some((key) => hand.database.jobs.has(key))) {
      throw new BatchRejectedError("an idempotency key is used twice");
    }
  },
  write(hand) {
    createJobs(hand.database, committedOf(hand));
  },
};
