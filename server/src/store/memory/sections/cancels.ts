/** Jobs to cancel: all jobs of a run that are neither settled nor created by this batch. */
import { cancelJobs } from "../jobs.ts";
import { committedOf, type Section } from "./section.ts";

export const CANCELS: Section = {
  name: "cancels",
  write(hand) {
    for (const transition of committedOf(hand)) if (transition.cancelJobs) cancelJobs(hand.database, transition);
  },
};
