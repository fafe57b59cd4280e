/**
 * Which release's rules the rows of a run follow. A server changes no run that is newer than itself, but may show it,
 * or claim it and let it stand still.
 */

/** What this release knows and writes. */
export const RUN_FORMAT = 1;
