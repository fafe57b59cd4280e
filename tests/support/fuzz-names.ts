/** Every target of the fuzzers. scripts/fuzz.ts refuses other names, which would try nothing and pass. */
export const FUZZ_NAMES = ["json", "expression", "template", "graph", "token", "pointer", "time"] as const;

export type FuzzName = (typeof FUZZ_NAMES)[number];
