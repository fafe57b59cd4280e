/**
 * Regular expressions from outside: of expressions and of JSON Schemas. RE2 runs them, so no pattern backtracks.
 *
 * A pattern is compiled at its first use. Before, it is accepted: parsed, and measured by the instructions that it
 * would have, without building them: `(…1,000 characters…){1000}` has a million. Compiled patterns are shared by their
 * text, in a cache with a bound on its weight.
 */
import { RE2JS, RE2Set } from "re2js";

import { type Allowance, spend } from "./allowance.ts";
import { createWeighedCache } from "./weighed-cache.ts";

/** Parsing has costs of its own, counted in instructions at 10 µs each: 8 characters cost one, … */
const CHARS_PER_INSTRUCTION = 8;
/** … a Unicode class such as `\\p{L}`, which has hundreds of ranges, costs up to 0.3 ms, … */
const UNICODE_CLASS_INSTRUCTIONS = 50;
/** … and a range under `(?i)` costs 26 ns for each of its code points. */
const FOLDED_CODE_POINTS_PER_INSTRUCTION = 100;

/** What an instruction weighs; measured 80 to 230 bytes. */
const INSTRUCTION_BYTES = 256;
/** What a pattern weighs apart from its instructions: 4 to 12 KiB as measured, and the states kept below. */
const PATTERN_BYTES = 12 * 1024;
/** While it matches, a pattern builds states of a deterministic automaton, up to 8 MiB. More than this is dropped. */
const STATE_BYTES_MAX = 32 * 1024;
/** What all compiled patterns of a server may weigh. */
const PATTERNS_BYTES_MAX = 64 * 1024 * 1024;

/** A pattern that RE2 cannot read. */
export class PatternError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "PatternError";
  }
}

export type Pattern = {
  /** In RE2 instructions. */
  readonly size: number;
  test(text: string): boolean;
};

/**
 * Accepts a pattern: takes its size, in RE2 instructions, from all allowances. Nothing is parsed once one of them is
 * used up, so the work for a whole graph is bounded, whatever it holds.
 * @throws {PatternError} if RE2 cannot read it, or it is too large
 */
export function acceptPattern(pattern: string, allowances: readonly Allowance[]): void {
  spendAll(allowances, parsingCost(pattern));
  // An instruction for the match, and one before the first.
  spendAll(allowances, 2 + instructionsOf(parse(pattern), new Map()));
}

function spendAll(allowances: readonly Allowance[], instructions: number): void {
  const problems = allowances.map((allowance) => spend(allowance, instructions));
  const problem = problems.find((message) => message !== undefined);
  if (problem !== undefined) throw new PatternError(problem);
}

/** What parsing costs, before it is done. */
export function parsingCost(pattern: string): number {
  const classes = pattern.match(/\\[pP]/g)?.length ?? 0;
  return Math.ceil(
    pattern.length / CHARS_PER_INSTRUCTION +
      classes * UNICODE_CLASS_INSTRUCTIONS +
      foldedCodePoints(pattern) / FOLDED_CODE_POINTS_PER_INSTRUCTION,
  );
}

/** How many code points are in ranges whose case is ignored; at least as many as there are. */
function foldedCodePoints(pattern: string): number {
  if (!/\(\?[a-zA-Z^-]*i/.test(pattern)) return 0;
  let total = 0;
  // Pairs may share an end, and a hyphen outside a class counts too.
  for (const [, from, to] of pattern.matchAll(/(\\x\{[^}]*\}|\\?[\s\S])-(?=(\\x\{[^}]*\}|\\?[\s\S]))/gu)) {
    total += Math.max(0, codePointOf(to!, ESCAPED_MAX) - codePointOf(from!, 0));
  }
  return total;
}

/** The largest code point that an escape without braces stands for: three octal digits. */
const ESCAPED_MAX = 0o777;

function codePointOf(text: string, escaped: number): number {
  if (text.startsWith("\\x{")) return Number.parseInt(text.slice(3), 16) || 0;
  return text.startsWith("\\") && text.length > 1 ? escaped : text.codePointAt(0)!;
}

const COMPILED = createWeighedCache<Pattern>(PATTERNS_BYTES_MAX);

/** Returns the compiled pattern. It was accepted before.
 *  @throws {PatternError} */
export function compiledPattern(pattern: string): Pattern {
  const known = COMPILED.get(pattern);
  if (known !== undefined) return known;
  const compiled = compile(pattern);
  COMPILED.put(pattern, compiled, PATTERN_BYTES + STATE_BYTES_MAX + compiled.size * INSTRUCTION_BYTES);
  return compiled;
}

function compile(pattern: string): Pattern {
  const regex = re2(() => RE2JS.compile(withShortNames(pattern)));
  const engine: Engine = regex.re2();
  return {
    size: regex.programSize(),
    test(text) {
      const matches = regex.test(text);
      // pattern.test.ts checks what this relies on in the library.
      const automaton = engine.lazyDFA;
      if (automaton !== null && automaton.maxMem - automaton.memBudget > STATE_BYTES_MAX) engine.lazyDFA = null;
      regex.reset();
      return matches;
    },
  };
}

type Engine = { lazyDFA: { maxMem: number; memBudget: number } | null };

/** A node of the library's syntax tree. Parts that are repeated are shared, so a small tree may stand for many
 *  instructions. */
type Syntax = { op: number; subs: Syntax[]; runes: ArrayLike<number> | null };

function parse(pattern: string): Syntax {
  // The library's only way to parse without compiling: a set of patterns compiles at its first match.
  const set = new RE2Set();
  re2(() => set.add(withShortNames(pattern)));
  return set.regexps[0] as Syntax;
}

const LITERAL = parse("ab").op;
const CONCATENATION = parse("^$").op;
const CAPTURE = parse("(a)").op;

function instructionsOf(syntax: Syntax, known: Map<Syntax, number>): number {
  const before = known.get(syntax);
  if (before !== undefined) return before;
  let count = 0;
  for (const sub of syntax.subs) count += instructionsOf(sub, known);
  if (syntax.op === LITERAL) count += syntax.runes?.length ?? 1;
  else if (syntax.op === CAPTURE) count += 2;
  else if (syntax.op !== CONCATENATION) count += Math.max(1, syntax.subs.length - 1);
  known.set(syntax, count);
  return count;
}

function re2<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new PatternError(error instanceof Error ? error.message : "the regular expression cannot be parsed");
  }
}

/** The short names of Unicode's general categories, which RE2 knows, by their long names, which JSON Schema's dialect
 *  of regular expressions (ECMA-262) knows too. https://www.unicode.org/Public/UCD/latest/ucd/PropertyValueAliases.txt */
const SHORT_NAMES = new Map(
  `Other C, Control Cc, cntrl Cc, Format Cf, Unassigned Cn, Private_Use Co, Surrogate Cs,
   Letter L, Cased_Letter LC, Lowercase_Letter Ll, Modifier_Letter Lm, Other_Letter Lo, Titlecase_Letter Lt,
   Uppercase_Letter Lu, Mark M, Combining_Mark M, Spacing_Mark Mc, Enclosing_Mark Me, Nonspacing_Mark Mn,
   Number N, Decimal_Number Nd, digit Nd, Letter_Number Nl, Other_Number No,
   Punctuation P, punct P, Connector_Punctuation Pc, Dash_Punctuation Pd, Close_Punctuation Pe, Final_Punctuation Pf,
   Initial_Punctuation Pi, Other_Punctuation Po, Open_Punctuation Ps,
   Symbol S, Currency_Symbol Sc, Modifier_Symbol Sk, Math_Symbol Sm, Other_Symbol So,
   Separator Z, Line_Separator Zl, Paragraph_Separator Zp, Space_Separator Zs`
    .split(",")
    .map((pair) => pair.trim().split(" ") as [string, string]),
);

/** Writes `\p{Letter}`, `\p{gc=Letter}` and `\p{Script=Greek}` as RE2 reads them: `\p{L}`, `\p{Greek}`. */
function withShortNames(pattern: string): string {
  if (!/\\[pP]\{/.test(pattern)) return pattern;
  // A quoted part and every other escape are left alone.
  return pattern.replaceAll(/\\Q[\s\S]*?(?:\\E|$)|\\([pP])\{(\^?)([^}]*)\}|\\[\s\S]/g, (all, ...found: unknown[]) => {
    const [letter, not, name] = found as (string | undefined)[];
    if (letter === undefined || name === undefined) return all;
    const [, property, value] = /^(?:(\w+)=)?(\w+)$/.exec(name) ?? [];
    if (value === undefined) return all;
    const isScript = property === "Script" || property === "sc";
    if (property !== undefined && !isScript && property !== "General_Category" && property !== "gc") return all;
    return `\\${letter}{${not}${isScript ? value : (SHORT_NAMES.get(value) ?? value)}}`;
  });
}
