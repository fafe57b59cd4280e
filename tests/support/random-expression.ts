// Draws the source of an expression from a seed.
import type { Random } from "../simulation/random.ts";

const PRIMARIES = [
  ..."a b12 _x true false null 1 0 23u 0x1F 1.5 2e3 1.25E-2 'it' \"s\"".split(" "),
  "'''t\n'' '''",
  "'\\n\\x41\\u00e9\\101'",
  "r'\\d'",
  "b'a\\xff'",
  "'a b'",
];
const MEMBERS = [".a", ".?b", " . c // why\n", ".m()"];
const COMPARISONS = ["==", "!=", "<", "<=", ">", ">=", " in "];
const OPERATORS = ["&&", "||", " + ", "-", "*", "/", "%", "\n-\t"];

/** Draws an expression of CEL, with at most `depth` levels of brackets. It uses only what other parsers read too, and
 *  one comparison for each pair of brackets, since some parsers have `==` and `<` on two levels. */
export function randomExpression(random: Random, depth: number): string {
  const chain = chainOf(random, depth);
  if (depth === 0 || !random.percent(15)) return chain;
  return `${chain}?${chainOf(random, depth - 1)} : ${randomExpression(random, depth - 1)}`;
}

function chainOf(random: Random, depth: number): string {
  let chain = operandOf(random, depth);
  const comparison = random.percent(30) ? random.below(3) : -1;
  for (let i = 0, count = random.below(4); i < count; i++) {
    chain += (i === comparison ? random.pick(COMPARISONS) : random.pick(OPERATORS)) + operandOf(random, depth);
  }
  return chain;
}

function operandOf(random: Random, depth: number): string {
  let operand = random.pick(["", "", "", "", "!", "-", "!!", "- -"]) + primaryOf(random, depth);
  for (let i = random.percent(60) ? 0 : random.below(4); i > 0; i--) {
    const inner = (): string => randomExpression(random, depth - 1);
    if (depth === 0 || random.percent(50)) operand += random.pick(MEMBERS);
    else operand += random.pick([() => `[${inner()}]`, () => `[?${inner()}]`, () => `.with(${inner()}, 1)`])();
  }
  return operand;
}

function primaryOf(random: Random, depth: number): string {
  if (depth === 0 || random.percent(60)) return random.pick(PRIMARIES);
  const some = (most: number): string[] =>
    Array.from({ length: random.below(most + 1) }, () => randomExpression(random, depth - 1));
  return random.pick([
    () => `(${randomExpression(random, depth - 1)})`,
    () => `[${some(3).join(" , ")}]`,
    () =>
      `{${some(2)
        .map((value) => `'k':${value}`)
        .join(",")}}`,
    () => `f(${some(3).join(",")})`,
  ])();
}
