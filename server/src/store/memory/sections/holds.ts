/** Jobs that are held back while their run is paused, and given out again afterwards. */
import { holdJobs } from "../jobs.ts";
import { committedOf, type Section } from "./section.ts";

export const HOLDS: Section = {
  name: "holds",
  write(hand) {
    holdJobs(hand.database, committedOf(hand));
  },
};
