// What the fuzzers of parsers try, and what must be true of every input.
import { readdirSync, readFileSync } from "node:fs";

import { WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { toJson } from "@bufbuild/protobuf";
import { expect } from "vitest";

import { CliError } from "../../server/src/cli/failure.ts";
import { parseGraph } from "../../server/src/cli/graph-file.ts";
import { readGraphSource, sourceJson } from "../../server/src/cli/graph-source.ts";
import { renderMermaid } from "../../server/src/cli/mermaid.ts";
import { addMs, DurationError, InstantError, parseDurationMs, parseInstant } from "../../server/src/core/duration.ts";
import { DomainError } from "../../server/src/core/errors.ts";
import { compileExpression } from "../../server/src/core/expression/compile.ts";
import { evaluate } from "../../server/src/core/expression/evaluate.ts";
import { ExpressionError } from "../../server/src/core/expression/expression-error.ts";
import { parseExpression } from "../../server/src/core/expression/parser.ts";
import {
  assertJson,
  canonicalJson,
  deepEqual,
  type Json,
  parseJson,
  parseOwnJson,
} from "../../server/src/core/json/json.ts";
import {
  applyPatch,
  parsePointer,
  PatchError,
  pointerFromDotted,
  valueAt,
} from "../../server/src/core/json/pointer.ts";
import { pointerText } from "../../server/src/core/json/pointer-text.ts";
import { compileTemplate, compileTemplateValue, evaluateTemplate } from "../../server/src/core/template.ts";
import { readToken, writeToken } from "../../server/src/engine/token.ts";
import { readJobToken, writeJobToken } from "../../server/src/engine/workers/job-token.ts";
import { vars, VARIABLES } from "../support/evaluate-source.ts";
import { type FuzzTarget, mutate } from "../support/fuzz.ts";
import { randomExpression } from "../support/random-expression.ts";
import { treeText } from "../support/tree-text.ts";

const NAMES = { vars, run: { run_id: "r" }, result: { ok: true }, error: null, now: "2026-01-02T03:04:05.120000Z" };

/** Runs `work`; returns undefined after an error of a declared class, and passes on every other error. */
function declared<T>(work: () => T, ...errors: (abstract new (...args: never[]) => Error)[]): { value: T } | undefined {
  try {
    return { value: work() };
  } catch (error) {
    if (errors.some((type) => error instanceof type)) return undefined;
    throw error;
  }
}

/** Passes on the error of a position that is not in the source. */
function assertPosition(error: unknown, source: string): void {
  if (!(error instanceof ExpressionError)) throw error;
  const { position } = error;
  if (position === undefined) return;
  expect(Number.isInteger(position) && position >= 0 && position <= source.length, `position ${position}`).toBe(true);
}

const JSON_CORPUS = [
  '{"a":[1,-2.5e3,true,false,null,{"b c":"d\\n\\u00e9\\ud83d\\ude00"}],"":{}}',
  '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"',
  " [ [ ] , { } , [ 0.1 , 1E+2 , 9007199254740991 ] ] ",
  '{"constructor":1,"toString":2,"10":3,"9":4,"a":5}',
  "[".repeat(33) + "]".repeat(33),
  '{"a":'.repeat(31) + "1" + "}".repeat(31),
  "123456789012345678901234567890",
  "1e21",
  '"\ud83d\ude00"',
];
const JSON_PIECES = [
  '{"',
  '":',
  "[",
  "]",
  "{",
  "}",
  ",",
  ":",
  '"',
  "\\u",
  "\\",
  "1e5",
  "-",
  "0",
  "null",
  "true",
  "a",
  " ",
];

const json: FuzzTarget<string> = {
  name: "json",
  draw: (random) => mutate(random, { corpus: JSON_CORPUS, pieces: JSON_PIECES }),
  check(text) {
    const theirs = declared(() => JSON.parse(text) as Json, SyntaxError);
    let ours: Json;
    try {
      ours = parseJson(text);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      // What is JSON is refused for a rule of the contract only.
      if (theirs !== undefined) expect(error.message).not.toContain("malformed");
      return;
    }
    // What the reader takes is JSON, with the same value except for -0.
    expect(theirs).toBeDefined();
    expect(deepEqual(ours, theirs!.value)).toBe(true);
    assertJson(ours);
    const written = canonicalJson(ours);
    expect(canonicalJson(parseOwnJson(written))).toBe(written);
    expect(deepEqual(parseOwnJson(written), ours)).toBe(true);
  },
};

const EXPRESSION_CORPUS = [
  "vars.rows.filter(r, r.amount > 100 && r.tag == 'a').map(r, r.amount + 1.5e2)[0]",
  "'Pay ' + string(vars.one) + r'\\' + '''a\n''' + \"\\u00e9\\x41\\101\"",
  "b'a\\xff' + br'\\' == bytes('é') || !(vars.?nope.deeper.orValue([?vars.?one]) in [{?'k': vars.?nope}])",
  "has(vars.`a-b`) ? now.getFullYear('Asia/Tokyo') : duration('1h30m').getMinutes()",
  "cel.bind(x, vars.list, x.exists(y, y == 2) ? x.all(y, y < .5) : x.exists_one(y, -y < 0x1F))",
  "'%s %.2f %e %x %b'.format([vars.map, 2.5, 1e21, 'é', true]) // comment",
  "json(parseJson('{\"a\":[1]}')).matches('^[a-z]+$') && strings.quote('\\a').trim().split(',').join('-') != ''",
  "type(vars) == map && timestamp('2026-01-02T03:04:05Z') < now + duration('1d')",
  "merge(vars.map, {'c': [1, 2, 3,]}).c[?7].or(optional.of(sum(range(3)))).value()",
];
const EXPRESSION_PIECES = [
  ..."vars . .? [? [ ] ( ) { } , : ? ! - + * / % == != < <= && || in null true 1 0x 1e .5 u ' \" ''' \"\"\" ` // \\ r' b' br'".split(
    " ",
  ),
  ..."now size( string( .map(x, .all(x, has( cel.bind( x ) .orValue( .format([ duration( timestamp( ${ $${ \n".split(
    " ",
  ),
  " ",
  "\n",
];

const expression: FuzzTarget<string> = {
  name: "expression",
  draw: (random) =>
    random.percent(15)
      ? randomExpression(random, 2)
      : mutate(random, { corpus: EXPRESSION_CORPUS, pieces: EXPRESSION_PIECES, charsMax: 9_000 }),
  check(source) {
    let tree: string;
    try {
      tree = treeText(parseExpression(source));
    } catch (error) {
      assertPosition(error, source);
      expect(() => compileExpression(source, { variables: VARIABLES })).toThrow(ExpressionError);
      return;
    }
    try {
      expect(treeText(parseExpression(tree))).toBe(tree);
    } catch (error) {
      // The text of a tree has more parentheses than its source, and each is a level.
      if (!(error instanceof ExpressionError) || !error.message.includes("nested too deeply")) throw error;
    }
    try {
      const value = evaluate(compileExpression(source, { variables: VARIABLES }), NAMES);
      assertJson(value);
      expect(deepEqual(parseOwnJson(canonicalJson(value)), value)).toBe(true);
    } catch (error) {
      assertPosition(error, source);
    }
  },
};

const TEMPLATE_CORPUS = [
  "plain text",
  "${vars.one}",
  "Dear ${ vars.text }, you owe ${ vars.one + 1 } $${not} $ ${'}'} ${ {'a': \"}\"} } {}",
  "${ r'\\' } ${ '''}'}''' } ${ 1 // }\n }",
  "$$${vars.one}$${${vars.two}",
  ...EXPRESSION_CORPUS.map((source) => `a \${ ${source}\n} b`),
];

const template: FuzzTarget<string> = {
  name: "template",
  draw: (random) => mutate(random, { corpus: TEMPLATE_CORPUS, pieces: [...EXPRESSION_PIECES, "${", "}", "$${", "$"] }),
  check(text) {
    const options = { variables: VARIABLES };
    try {
      const compiled = compileTemplate(text, options);
      if (!text.includes("${")) expect(compiled.parts).toEqual([text]);
      const value = evaluateTemplate(compiled, NAMES);
      if (!compiled.isWhole) expect(typeof value).toBe("string");
      expect(deepEqual(value, compileTemplateValue(text, options).evaluate(NAMES))).toBe(true);
    } catch (error) {
      // Lone surrogates and U+0000 in the text itself are the business of the JSON reader.
      assertPosition(error, text);
    }
    // A text without templates comes through a literal as it is.
    if (text.isWellFormed() && !text.includes("\0")) {
      const whole = `\${${JSON.stringify(text)}}`;
      if (whole.length < 8_000) expect(evaluateTemplate(compileTemplate(whole, options), NAMES)).toBe(text);
    }
  },
};

const GRAPH_CORPUS = [
  ...readdirSync("examples")
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => readFileSync(`examples/${name}`, "utf8")),
  readFileSync("examples/report/report.yaml", "utf8").slice(0, 4_000),
  '{"workflowId":"w","entryNode":"a","nodes":{"a":{"assign":{"values":{"x":1}},"next":[{"to":"b","when":"vars.x > 1"},{"to":"b"}]},"b":{"complete":{"output":null}}}}',
  "workflowId: w\nentryNode: a\nnodes:\n  a: &n\n    askUser: {prompt: 'hi ${vars.x}', choices: [yes, no]}\n    next: [{to: b}]\n  b: {fail: {code: X, message: >-\n    a\n    b\n  }}\n  c: *n\n",
  "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
  "%YAML 1.2\n---\nentryNode: !!str a\n...\n",
  '{"a":1\r,"b":[2\r]}',
];
const GRAPH_PIECES = [
  ..."nodes: entryNode: next: to: when: askUser: complete: {} [] - & * ! !! | > >- ? : , { } [ ] # % --- ... << <<: ~ null yes 0x1F 1_000 .inf .nan 0o7 \t \" '".split(
    " ",
  ),
  "\n",
  "\n  ",
  "\n    - ",
  "&a ",
  "*a",
  ": ",
  "? ",
];

const graph: FuzzTarget<string> = {
  name: "graph",
  draw: (random) => mutate(random, { corpus: GRAPH_CORPUS, pieces: GRAPH_PIECES }),
  check(text) {
    for (const name of ["g.yaml", "g.json"]) {
      const source = declared(() => readGraphSource(name, text), CliError);
      if (source === undefined) continue;
      const value = sourceJson(source.value.root);
      source.value.describe([{ path: "nodes.a", message: "m", offset: source.value.locate("nodes.a.next[0].to") }]);
      if (name === "g.json") expect(deepEqual(value, JSON.parse(text.replace(/^\ufeff/, "")) as Json)).toBe(true);
    }
    const file = declared(() => parseGraph("g.yaml", text), CliError);
    if (file === undefined) return;
    const { workflow } = file.value;
    for (const line of renderMermaid(workflow).split("\n")) {
      // A quote or a line break of a label would end the label.
      expect(line).toMatch(/^(flowchart TD|  [^"]*("[^"]*"[^"]*)*|)$/);
    }
    const written = toJson(WorkflowSchema, workflow);
    const again = declared(() => parseGraph("g.json", JSON.stringify(written)), CliError);
    expect(again && toJson(WorkflowSchema, again.value.workflow)).toEqual(written);
  },
};

const KEY = new Uint8Array(32).fill(7);
/** Tokens as the server writes them: pages, cursors of WatchRuns, jobs. */
const TOKENS: readonly string[] = [
  writeToken(KEY, "page/runs/default/{}", ["2026-01-02T03:04:05.678901Z", "run-1"]),
  writeToken(KEY, "watch-runs/default", [3, [1, 77, 5, 2], [3, 2 ** 31 - 1, 0, 0]]),
  writeJobToken(KEY, {
    tenantId: "default",
    runId: "run-1",
    idempotencyKey: "k".repeat(52),
    attempt: 2,
    leaseNo: 3,
    isAtMostOnce: true,
  }),
];

const token: FuzzTarget<string> = {
  name: "token",
  draw: (random) =>
    mutate(random, { corpus: TOKENS, pieces: ["A", "=", "-", "_", "+", "/", "h.", ".", "eyJ9"], charsMax: 5_000 }),
  check(text) {
    const purposes = ["page/runs/default/{}", "watch-runs/default", "page/runs/other/{}", "job/default"];
    const taken = purposes.filter((purpose, i) => {
      const reason = i === 1 ? "CURSOR_INVALID" : "PAGE_TOKEN_INVALID";
      return declared(() => readToken(KEY, purpose, text, reason), DomainError) !== undefined;
    });
    // Nothing but the very token is taken, and for its purpose only.
    const index = TOKENS.indexOf(text);
    expect(taken).toEqual(index === -1 ? [] : [["page/runs/default/{}", "watch-runs/default", "job/default"][index]]);
    expect(readJobToken(KEY, "default", text) !== undefined).toBe(index === 2);
  },
};

const POINTER_CORPUS = ["", "/a/b/0", "/a~1b/~0c//", "a.b-c.0", "/constructor/x", "/a".repeat(32), "/list/3", "/-"];

const pointer: FuzzTarget<string> = {
  name: "pointer",
  draw: (random) =>
    mutate(random, { corpus: POINTER_CORPUS, pieces: ["/", "~", "~0", "~1", "a", "0", "-1", ".", "list"] }),
  check(text) {
    const root = parseJson('{"a":{"b":[1,{"c":2}]},"list":[1,2,3],"":{"":0}}');
    const before = JSON.stringify(root);
    const segments = declared(() => parsePointer(text), PatchError);
    if (segments !== undefined) {
      expect(pointerText(segments.value)).toBe(text);
      const set = declared(() => applyPatch(root, [{ op: "set", path: text, value: "new" }]), PatchError);
      if (set !== undefined) expect(valueAt(set.value, text)).toBe("new");
      const unset = declared(() => applyPatch(root, [{ op: "unset", path: text }]), PatchError);
      if (unset !== undefined && !/\/list\/|\/b\//.test(text)) expect(valueAt(unset.value, text)).toBeUndefined();
      declared(() => applyPatch(root, [{ op: "append", path: text, values: [1] }]), PatchError);
    }
    const dotted = declared(() => pointerFromDotted(text), PatchError);
    if (dotted !== undefined) expect(parsePointer(dotted.value)).toEqual(text.split("."));
    expect(JSON.stringify(root)).toBe(before);
  },
};

const TIME_CORPUS = [
  "2026-01-02T03:04:05.678901Z",
  "0001-01-01T00:00:00Z",
  "9999-12-31t23:59:59.999999999z",
  "2024-02-29T23:59:59+14:00",
  "1h30m",
  "1.5d",
  "500ms",
  "36525d",
  "-1.5s",
  ".5h",
  "0",
  // A pattern that can match digits in two ways takes for ever.
  `${"36525d".repeat(15)}\u0025255d`,
];

const time: FuzzTarget<string> = {
  name: "time",
  draw: (random) => mutate(random, { corpus: TIME_CORPUS, pieces: "0 9 1 - + : . T Z h m s ms us d w e".split(" ") }),
  check(text) {
    const instant = declared(() => parseInstant(text), InstantError);
    if (instant !== undefined) {
      expect(parseInstant(instant.value)).toBe(instant.value);
      expect(instant.value).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    }
    const ms = declared(() => parseDurationMs(text), DurationError);
    if (ms !== undefined) {
      expect(Number.isSafeInteger(ms.value) && ms.value >= 0).toBe(true);
      addMs(parseInstant("2026-01-02T03:04:05Z"), ms.value);
    }
    for (const source of ["timestamp(vars)", "duration(vars)", "now.getHours(vars)", "now.getFullYear(vars)"]) {
      const compiled = compileExpression(source, { variables: ["vars", "now"] });
      const value = declared(() => evaluate(compiled, { vars: text, now: NAMES.now }), ExpressionError);
      if (value === undefined) continue;
      // What an expression writes it reads back as the same.
      const again = source.startsWith("now") ? value.value : evaluate(compiled, { vars: value.value, now: NAMES.now });
      expect(again).toBe(value.value);
    }
  },
};

export const PARSER_TARGETS: readonly FuzzTarget<string>[] = [json, expression, template, graph, token, pointer, time];
