import { type Allowance, createAllowance } from "../allowance.ts";
import { createSchemaAllowances, type SchemaAllowances } from "../json/schema-check.ts";

/** Schemas of one graph, in UTF-8 bytes: the bound of a payload. */
const SCHEMA_BYTES_MAX = 1024 * 1024;
/** Subschemas of one graph. Checking one takes about 2 µs, and a compiled one takes less than 1 KiB. */
const SUBSCHEMAS_MAX = 50_000;
/** RE2 instructions of all regular expressions of one graph, in expressions and in schemas: compiling them takes half a
 *  second, at their first uses, and about 12 MiB. */
const REGEX_INSTRUCTIONS_MAX = 50_000;

/** Characters of all expressions of one graph: compiling these takes half a second, and 80 MiB. */
const EXPRESSION_CHARS_MAX = 1024 * 1024;

/** What everything in one graph that is compiled may use together. */
export type GraphAllowances = SchemaAllowances & { characters: Allowance };

/** The allowances of a graph, or of a step plan. */
export function createGraphAllowances(): GraphAllowances {
  const schemas = createSchemaAllowances("graph", {
    bytesMax: SCHEMA_BYTES_MAX,
    subschemasMax: SUBSCHEMAS_MAX,
    regexInstructionsMax: REGEX_INSTRUCTIONS_MAX,
  });
  const message = `the expressions of this graph are too long in total: at most ${EXPRESSION_CHARS_MAX} characters`;
  return { ...schemas, characters: createAllowance(EXPRESSION_CHARS_MAX, message) };
}

/** How many characters of expressions were compiled. */
export function expressionCharacters({ characters }: GraphAllowances): number {
  return EXPRESSION_CHARS_MAX - characters.left;
}
