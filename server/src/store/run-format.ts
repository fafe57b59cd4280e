/**
 * The format of a run's rows, which says by which release's rules they are read and written. A server never changes a
 * run with a newer format. It may show such a run, or claim it and leave it idle.
 */

/** The format that this release knows and writes. */
export const RUN_FORMAT = 1;
