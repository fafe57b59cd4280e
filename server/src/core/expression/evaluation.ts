// One evaluation: the names it may use, its local variables, and the steps that bound its cost.
import type { Json } from "../json/json.ts";
import { limit } from "./expression-error.ts";
import type { Value } from "./values.ts";

/** Steps of one expression: about 10 ms of work on a server that many runs share. */
export const EXPRESSION_STEPS_MAX = 100_000;

/** Longest string an expression may build, in UTF-16 units: a payload cannot hold more. */
const STRING_CHARS_MAX = 1024 * 1024;
/** Longest list an expression may build. A payload rarely holds more, and a list takes memory before it takes steps. */
export const LIST_ITEMS_MAX = 100_000;
/** Characters that a native string operation reads per step, in about the time of visiting one node. */
const CHARS_PER_STEP = 256;
/** Characters of JSON text written or parsed per step. */
const JSON_CHARS_PER_STEP = 16;
/** Elements that a native list operation copies per step, in about the same time. */
const ITEMS_PER_STEP = 16;

/** The values an expression may name. `now` is an RFC 3339 string; expressions see a timestamp. */
export type ExpressionNames = Readonly<Record<string, Json | undefined>>;

/** The steps left for a group of expressions, such as all expressions of one template. */
export type Budget = { steps: number };

export function createBudget(): Budget {
  return { steps: EXPRESSION_STEPS_MAX };
}

/** Returns the value of a compiled node in one evaluation. */
export type Run = (evaluation: Evaluation) => Value;

/** The state of one evaluation: its names, its local variables, and the steps left. */
export class Evaluation {
  readonly names: ExpressionNames;
  /** The values of macro variables, each at the slot the compiler gave it. */
  readonly locals: Value[];
  private readonly budget: Budget;

  constructor(names: ExpressionNames, slots: number, budget: Budget) {
    this.names = names;
    this.budget = budget;
    this.locals = slots === 0 ? NO_LOCALS : new Array<Value>(slots).fill(null);
  }

  step(): void {
    if (--this.budget.steps < 0) throw limit(`the expression takes more than ${EXPRESSION_STEPS_MAX} steps`);
  }

  spend(steps: number): void {
    this.budget.steps -= Math.ceil(steps);
    if (this.budget.steps < 0) throw limit(`the expression takes more than ${EXPRESSION_STEPS_MAX} steps`);
  }

  /** Pays for reading or writing `chars` UTF-16 units. */
  text(chars: number): void {
    if (chars > CHARS_PER_STEP) this.spend(chars / CHARS_PER_STEP);
  }

  /** Pays for a string that is about to be built. */
  newText(chars: number): void {
    if (chars > STRING_CHARS_MAX)
      throw limit(`the expression builds a string of more than ${STRING_CHARS_MAX} characters`);
    this.text(chars);
  }

  /** Pays for writing or parsing JSON text, which takes ten times as long as reading characters. */
  json(chars: number): void {
    this.spend(chars / JSON_CHARS_PER_STEP);
  }

  /** Pays for a list that is about to be built. */
  newList(items: number): void {
    if (items > LIST_ITEMS_MAX) throw limit(`the expression builds a list of more than ${LIST_ITEMS_MAX} elements`);
    if (items > ITEMS_PER_STEP) this.spend(items / ITEMS_PER_STEP);
  }
}

const NO_LOCALS: Value[] = [];
