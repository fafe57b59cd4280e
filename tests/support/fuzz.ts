/**
 * Fuzzing that replays: the inputs follow from a seed alone. `npm test` tries a few, `npm run fuzz` as many as it has
 * time for (tests/fuzz, scripts/fuzz.ts).
 *
 * A target checks one input, and throws if what it tests does something that it must not do. A parser throws the errors
 * that it declares; its target catches those, and passes everything else on.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext, runInThisContext } from "node:vm";

import { createRandom, type Random } from "../simulation/random.ts";
import type { FuzzName } from "./fuzz-names.ts";

export type FuzzTarget<Input> = {
  name: FuzzName;
  /** Draws an input; nothing but `random` decides which. */
  draw: (random: Random) => Input;
  /** Throws if something is wrong. A promise is awaited. */
  check: (input: Input) => void | Promise<void>;
  /** The input as the failure shows it. Default: JSON. */
  show?: (input: Input) => string;
};

/** How long to try: so many inputs, or for so long. */
export type FuzzOptions = {
  seed: number;
  inputs?: number;
  seconds?: number;
  /** How long one input may take; for tests of the fuzzer itself. */
  inputMsMax?: number;
};

/** What `npm run fuzz` asks for; without it, `inputs` of them from a seed that is always the same. */
export function fuzzOptions(inputs: number): FuzzOptions {
  const { FUZZ_SEED, FUZZ_INPUTS, FUZZ_SECONDS } = process.env;
  const seed = Number(FUZZ_SEED ?? "1");
  if (FUZZ_INPUTS !== undefined) return { seed, inputs: Number(FUZZ_INPUTS) };
  if (FUZZ_SECONDS !== undefined) return { seed, seconds: Number(FUZZ_SECONDS) };
  return { seed, inputs };
}

export type FuzzReport = {
  inputs: number;
  /** Bytes of the heap in use after a tenth of the inputs and at the end, each after a collection of garbage. */
  heapBytes: { before: number; after: number };
};

/** An input that was too much for its target. */
class FuzzFailure extends Error {
  constructor(target: string, seed: number, shown: string, cause: unknown) {
    const what = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    super(
      `${target}: the input of seed ${seed} fails; npm run fuzz -- --seed ${seed} --inputs 1 ${target}\n` +
        `input: ${shown.length > SHOWN_CHARS_MAX ? `${shown.slice(0, SHOWN_CHARS_MAX)}…` : shown}\n${what}`,
      { cause },
    );
    this.name = "FuzzFailure";
  }
}

const SHOWN_CHARS_MAX = 4_000;
/** How long one input may take. Inputs take microseconds, so what takes this long has no bound. */
const INPUT_MS_MAX = 20_000;
/** Inputs that are tried under one watch: setting one takes longer than most inputs. */
const WATCHED_INPUTS = 64;

/**
 * Tries the inputs of the seeds from `seed` on: `inputs` of them, or as many as `seconds` allow.
 * @throws {FuzzFailure} with the seed of the first input that fails, or that does not end
 */
export async function fuzz<Input>(target: FuzzTarget<Input>, options: FuzzOptions): Promise<FuzzReport> {
  const { seed, inputs = Infinity, seconds = Infinity, inputMsMax = INPUT_MS_MAX } = options;
  const startedAt = performance.now();
  const isDone = (tried: number): boolean => tried >= inputs || performance.now() - startedAt >= seconds * 1000;
  let before = 0;
  let tried = 0;
  while (!isDone(tried)) {
    tried += await tryInputs(target, {
      seed: seed + tried,
      count: Math.min(WATCHED_INPUTS, inputs - tried),
      inputMsMax,
    });
    const isWarm = tried >= inputs / 10 || performance.now() - startedAt >= seconds * 100;
    if (before === 0 && isWarm) before = usedHeap();
  }
  return { inputs: tried, heapBytes: { before, after: usedHeap() } };
}

/** Tries `count` inputs from a seed on, and returns how many were tried without waiting. */
async function tryInputs<Input>(
  target: FuzzTarget<Input>,
  { seed, count, inputMsMax }: { seed: number; count: number; inputMsMax: number },
): Promise<number> {
  let at = seed;
  let input: Input | undefined;
  let pending: Promise<void> | undefined;
  try {
    // Only a watch from outside ends a loop that never does.
    watched(() => {
      for (; at < seed + count && pending === undefined; at++) {
        input = target.draw(createRandom(at));
        pending = target.check(input) ?? undefined;
        if (pending !== undefined) break;
      }
    }, inputMsMax);
    await pending;
    if (pending !== undefined) at += 1;
  } catch (error) {
    const shown = input === undefined ? "none was drawn" : (target.show ?? JSON.stringify)(input);
    throw new FuzzFailure(target.name, at, shown, error);
  }
  return at - seed;
}

/** Runs `work`, and throws if it does not end in time. */
function watched(work: () => void, timeoutMs: number): void {
  const context = globalThis as { fuzzWork?: () => void };
  context.fuzzWork = work;
  runInThisContext("globalThis.fuzzWork()", { timeout: timeoutMs });
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function usedHeap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

export type MutationOptions = {
  /** Valid inputs, and inputs that were faults once. */
  corpus: readonly string[];
  /** Pieces that mean something to the parser. */
  pieces: readonly string[];
  /** Longest input. */
  charsMax?: number;
};

/** Characters that parsers tend to stumble over. */
const TRICKY = [
  ...Array.from("\0\u0001\t\n\r\v\f \"'`\\/{}[]()<>,:;.$#&*!|%@~^+-_=?"),
  "\r\n",
  "\u007f",
  "\u0085",
  "\u00a0",
  "\u2028",
  "\ufeff",
  "\ufffd",
  "\uffff",
  "\ud800",
  "\udfff",
  "😀",
  "e\u0301",
  "\u202e",
  "__proto__",
  "constructor",
  "toString",
  "-0",
  "1e400",
  "9007199254740993",
  "1".repeat(400),
];

/** Draws a text: one of the corpus, several of them, or pieces, with a few changes. */
export function mutate(random: Random, { corpus, pieces, charsMax = 20_000 }: MutationOptions): string {
  let text = random.percent(85)
    ? random.pick(corpus)
    : Array.from({ length: random.below(20) }, () => random.pick(pieces)).join("");
  for (let changes = random.below(6); changes > 0; changes--) {
    const at = random.below(text.length + 1);
    const end = Math.min(text.length, at + 1 + random.below(random.percent(70) ? 4 : 60));
    text = text.slice(0, at) + replacement(random, text, { at, end, corpus, pieces }) + text.slice(end);
  }
  return text.slice(0, charsMax);
}

/** What stands in place of the characters from `at` to `end`. */
function replacement(
  random: Random,
  text: string,
  { at, end, corpus, pieces }: { at: number; end: number } & Pick<MutationOptions, "corpus" | "pieces">,
): string {
  const old = text.slice(at, end);
  switch (random.below(9)) {
    case 0:
      return "";
    case 1:
      return old + random.pick(TRICKY);
    case 2:
      return old + random.pick(pieces);
    case 3:
      return random.pick(pieces) + old;
    case 4:
      return old.repeat(2 + random.below(random.percent(10) ? 300 : 4));
    case 5:
      return String.fromCharCode(random.below(random.percent(80) ? 128 : 0x10000));
    case 6: {
      // A part of another text.
      const other = random.pick(corpus);
      const from = random.below(other.length + 1);
      return other.slice(from, from + 1 + random.below(40));
    }
    case 7:
      return Array.from(old).toReversed().join("");
    default:
      return random.pick(pieces).repeat(1 + random.below(random.percent(20) ? 400 : 3));
  }
}
