/** Templates and expressions with their one number type, and writes, which replace: as runs show them. */
import { describe, expect, test } from "vitest";
import { createApi, type Json, type JsonObject, type Run } from "../api.ts";
import { useServer } from "../server.ts";

const api = createApi(useServer());

const vars: JsonObject = {
  one: 1,
  seven: 7,
  half: 0.5,
  text: "Grüße",
  list: [3, 1, 2],
  names: ["ann", "bob"],
  map: { b: 1, a: 2 },
  nothing: null,
  yes: true,
  code: "${vars.one}",
  large: 9007199254740991,
};

/** Ends a run with the value of an expression. */
function evaluate(expression: string, given: JsonObject = vars): Promise<Run> {
  const graph = { entryNode: "end", nodes: { end: { complete: { output: `\${ ${expression} }` } } } };
  return api.run(graph, { vars: given });
}

async function checkValue(expression: string, value: Json): Promise<void> {
  const run = await evaluate(expression);
  expect(run.error, `of ${expression}`).toBeUndefined();
  expect(run.output, `of ${expression}`).toEqual(value);
}

async function checkFailure(expression: string, code: string): Promise<void> {
  const run = await evaluate(expression);
  expect(run, `of ${expression}`).toMatchObject({ status: "RUN_STATUS_FAILED", error: { code, nodeId: "end" } });
}

describe("One number type", () => {
  test.each<[sentence: string, expression: string, value: Json]>([
    ["every JSON number is a double", "type(vars.one) == type(vars.half)", true],
    ["every JSON number is a double", "vars.one == 1.0", true],
    ["int literals mix in +", "vars.half + 1", 1.5],
    ["int literals mix in -", "1 - vars.half", 0.5],
    ["int literals mix in *", "3 * vars.half", 1.5],
    ["int literals mix in /", "vars.one / 2", 0.5],
    ["int literals mix in %", "vars.seven % 4", 3],
    ["int literals mix in comparison", "vars.half < 1 && 1 <= vars.one && vars.seven > 6 && 7 >= vars.seven", true],
    ["int literals mix in equality", "vars.one == 1 && vars.seven != 8", true],
    ["/ is real division", "7 / 2", 3.5],
    ["/ is real division", "vars.seven / 2", 3.5],
    ["whole doubles index lists", "vars.list[vars.one]", 1],
    ["whole doubles index lists", "vars.list[4 / 2]", 2],
    ["whole doubles print without .0", "string(vars.seven)", "7"],
    ["whole doubles print without .0", "'n' + string(6 / 2)", "n3"],
    ["the largest whole result", "vars.large + 0", 9007199254740991],
  ])("%s: %s", async (_sentence, expression, value) => {
    await checkValue(expression, value);
  });

  test.each<[sentence: string, expression: string]>([
    ["NaN is an error", "0.0 / 0.0"],
    ["infinity is an error", "vars.one / 0"],
    ["infinity is an error", "1e308 * 10"],
    ["a whole result beyond 2^53 - 1 is an error", "vars.large + 1"],
    ["a whole result beyond -(2^53 - 1) is an error", "-vars.large - 1"],
    ["a double that is not whole indexes nothing", "vars.list[vars.half]"],
    ["strings are no numbers", "vars.text + vars.one"],
  ])("%s: %s", async (_sentence, expression) => {
    await checkFailure(expression, "EVALUATION_FAILED");
  });
});

describe("Writes replace", () => {
  const assign = (...nodes: object[]) => ({
    entryNode: "n0",
    nodes: {
      ...Object.fromEntries(
        nodes.map((node, index) => [`n${index}`, { assign: node, next: [{ to: `n${index + 1}` }] }]),
      ),
      [`n${nodes.length}`]: { complete: { output: "${vars}" } },
    },
  });

  test.each<[sentence: string, start: JsonObject, nodes: object[], after: Json]>([
    ["assign sets the whole value at a path", { a: { x: 1, y: 2 } }, [{ values: { a: { z: 3 } } }], { a: { z: 3 } }],
    ["a list is replaced, not merged", { a: [1, 2, 3] }, [{ values: { a: [4] } }], { a: [4] }],
    [
      "paths are dotted; what stands beside stays",
      { a: { x: 1, y: 2 } },
      [{ values: { "a.x": 9 } }],
      { a: { x: 9, y: 2 } },
    ],
    ["what a path leads through is made", {}, [{ values: { "a.b.c": 1 } }], { a: { b: { c: 1 } } }],
    [
      "all right-hand sides see vars as they were on entry",
      { a: 1, b: 2 },
      [{ values: { a: "${vars.b}", b: "${vars.a}" } }],
      { a: 2, b: 1 },
    ],
    [
      "append sees them as they were on entry too",
      { n: 1, list: [] },
      [{ values: { n: "${vars.n + 1}" }, append: { list: "${vars.n}" } }],
      { n: 2, list: [1] },
    ],
    ["append adds one element, a list too", { list: [1] }, [{ append: { list: [2, 3] } }], { list: [1, [2, 3]] }],
    [
      "append makes a list that does not exist",
      {},
      [{ append: { "a.list": 1 } }, { append: { "a.list": 2 } }],
      { a: { list: [1, 2] } },
    ],
    ["null is a value", { a: 1 }, [{ values: { a: null } }], { a: null }],
    ["null is an element", { a: [] }, [{ append: { a: null } }], { a: [null] }],
    [
      "unset removes, and passes over what is not there",
      { a: 1, b: { c: 2 } },
      [{ unset: ["a", "b.c", "d.e"] }],
      { b: {} },
    ],
    ["an assign without anything changes nothing", { a: 1 }, [{}], { a: 1 }],
  ])("%s", async (_sentence, start, nodes, after) => {
    const run = await api.run(assign(...nodes), { vars: start });
    expect(run.error).toBeUndefined();
    expect(run.output).toEqual(after);
    expect(run.vars).toEqual(after);
  });

  test("result_key sets the whole value, before edges are looked at", async () => {
    const graph = {
      entryNode: "say",
      nodes: {
        say: {
          answerUser: { message: "hi" },
          resultKey: "a.said",
          next: [{ to: "end", when: "vars.a.said == {'message': 'hi'}" }],
        },
        end: { complete: { output: "${vars.a}" } },
      },
    };
    const run = await api.run(graph, { vars: { a: { said: { old: true }, kept: 1 } } });
    expect(run.output).toEqual({ said: { message: "hi" }, kept: 1 });
  });

  test("a null answer is written as null", async () => {
    const graph = {
      entryNode: "ask",
      nodes: {
        ask: { askUser: { prompt: "?" }, resultKey: "reply", next: [{ to: "end" }] },
        end: { complete: { output: "${vars.reply.answer == null}" } },
      },
    };
    const { runId, waiting } = await api.run(graph);
    const { run } = await api.call("ResumeRun", { runId, waitId: waiting!.waitId, payload: { answer: null } });
    expect(run.output).toBe(true);
    expect(run.vars?.["reply"]).toMatchObject({ answer: null });
  });

  test("an output of null is an output", async () => {
    const run = await api.run({ entryNode: "end", nodes: { end: { complete: {} } } });
    expect(run).toHaveProperty("output", null);
  });

  test.each<[what: string, node: object]>([
    ["something other than a list at an append's path", { append: { text: 1 } }],
    ["a path through something that is no object", { values: { "text.a": 1 } }],
  ])("fails the node: %s", async (_what, node) => {
    const run = await api.run(assign(node), { vars: { text: "t" } });
    expect(run).toMatchObject({
      status: "RUN_STATUS_FAILED",
      error: { code: "EVALUATION_FAILED", nodeId: "n0" },
      vars: { text: "t" },
    });
  });

  test("objects are built without prototypes", async () => {
    await checkValue("has(vars.map.constructor) || has(vars.map.toString) || 'hasOwnProperty' in vars.map", false);
    await checkValue("{'constructor': 1, 'toString': 2}", { constructor: 1, toString: 2 });
    await checkFailure("vars.map.constructor", "EVALUATION_FAILED");
    await checkFailure('parseJson(\'{"__proto__": {"admin": true}}\')', "EVALUATION_FAILED");
  });
});

describe("Templates and expressions", () => {
  test.each<[sentence: string, template: Json, value: Json]>([
    ["alone keeps the type: number", "${vars.seven}", 7],
    ["alone keeps the type: list", "${vars.list}", [3, 1, 2]],
    ["alone keeps the type: object", "${vars.map}", { b: 1, a: 2 }],
    ["alone keeps the type: null", "${vars.nothing}", null],
    ["alone keeps the type: bool", "${vars.yes}", true],
    ["spaces around the expression do not matter", "${  vars.seven  }", 7],
    ["inside text it interpolates a string as it is", "Hello ${vars.text}!", "Hello Grüße!"],
    ["inside text a number prints without .0", "n=${vars.seven / 7}", "n=1"],
    [
      "inside text a non-string is JSON text",
      "${vars.list} ${vars.map} ${vars.nothing} ${vars.yes}",
      '[3,1,2] {"a":2,"b":1} null true',
    ],
    ["several in one text", "${vars.one}${vars.seven}", "17"],
    ["$${ writes ${", "$${vars.one}", "${vars.one}"],
    ["$${ beside a template", "$${a} ${vars.one}", "${a} 1"],
    ["a dollar alone is a dollar", "5$ and $5", "5$ and $5"],
    ["braces in an expression", "${ {'a': {'b': '}'}} }", { a: { b: "}" } }],
    ["strings at any depth", { a: ["${vars.one}", { b: "${vars.yes}" }] }, { a: [1, { b: true }] }],
    ["text from vars is never evaluated", "${vars.code}", "${vars.one}"],
    ["text from vars is never evaluated inside text", "<${vars.code}>", "<${vars.one}>"],
    ["names of objects are no templates", { "${vars.one}": 1 }, { "${vars.one}": 1 }],
  ])("%s", async (_sentence, output, value) => {
    const run = await api.run({ entryNode: "end", nodes: { end: { complete: { output } } } }, { vars });
    expect(run.error).toBeUndefined();
    expect(run.output).toEqual(value);
  });

  test("text from answers is never evaluated", async () => {
    const graph = {
      entryNode: "ask",
      nodes: {
        ask: { askUser: { prompt: "?" }, resultKey: "reply", next: [{ to: "end" }] },
        end: { complete: { output: ["${vars.reply.answer}", "<${vars.reply.answer}>"] } },
      },
    };
    const { runId, waiting } = await api.run(graph);
    const { run } = await api.call("ResumeRun", {
      runId,
      waitId: waiting!.waitId,
      payload: { answer: "${run.run_id} $${" },
    });
    expect(run.output).toEqual(["${run.run_id} $${", "<${run.run_id} $${>"]);
  });

  test("the text of default_vars is not a template", async () => {
    const graph = {
      defaultVars: { text: "${vars.one}" },
      entryNode: "end",
      nodes: { end: { complete: { output: "${vars.text}" } } },
    };
    expect((await api.run(graph)).output).toBe("${vars.one}");
  });

  test("when and calls_from are bare CEL", async () => {
    const graph = {
      entryNode: "choose",
      nodes: {
        choose: { assign: {}, next: [{ to: "call", when: "size(vars.list) > 2" }, { to: "end" }] },
        call: {
          toolCalls: { callsFrom: "vars.list.map(n, {'name': 'tool', 'arguments': {'n': n}})" },
          next: [{ to: "end" }],
        },
        end: { complete: {} },
      },
    };
    const run = await api.run(graph, { vars });
    expect(run).toMatchObject({ currentNode: "call", blockedReason: "BLOCKED_REASON_NO_WORKER" });
    const { effect } = (await api.records(run.runId)).at(-1)!;
    const { calls } = effect!.payload as { calls: { name: string; arguments: Json }[] };
    expect(calls.map(({ name, arguments: given }) => [name, given])).toEqual([
      ["tool", { n: 3 }],
      ["tool", { n: 1 }],
      ["tool", { n: 2 }],
    ]);
  });

  test("names: run says who and what the run is", async () => {
    const run = await evaluateIn("${run}", {
      runId: "named",
      sessionId: "s",
      actorId: "ann",
      labels: { team: "blue" },
    });
    expect(run.output).toMatchObject({
      run_id: "named",
      workflow_id: run.workflowId,
      version: 1,
      session_id: "s",
      actor_id: "ann",
      root_run_id: "named",
      labels: { team: "blue" },
    });
  });

  test("names: now is the record's time", async () => {
    const run = await evaluateIn("${now}", { runId: "dated" });
    const last = (await api.records("dated")).at(-1)!;
    expect(Date.parse(run.output as string)).toBe(Date.parse(last.time));
  });

  test("names: result is the effect's, for the edges of its node", async () => {
    const graph = {
      entryNode: "say",
      nodes: {
        say: { answerUser: { message: "${vars.text}" }, next: [{ to: "end", when: "result.message == 'Grüße'" }] },
        end: { complete: { output: "${result}" } },
      },
    };
    expect((await api.run(graph, { vars })).output).toBeNull();
  });

  test("names: error is the last failure", async () => {
    const graph = {
      entryNode: "bad",
      nodes: {
        bad: { assign: { values: { x: "${vars.nope}" } }, next: [{ to: "end" }], onError: "end" },
        end: { complete: { output: { code: "${error.code}", node: "${error.node_id}" } } },
      },
    };
    expect((await api.run(graph)).output).toEqual({ code: "EVALUATION_FAILED", node: "bad" });
  });

  test.each<[part: string, expression: string, value: Json]>([
    ["operators", "!(vars.one > 2) && (false || vars.yes)", true],
    ["conditional", "vars.one > 2 ? 'more' : 'less'", "less"],
    ["in", "2 in vars.list && 'a' in vars.map && !('z' in vars.map)", true],
    ["has", "has(vars.map.a) && !has(vars.map.z)", true],
    ["size", "[size(vars.text), size(vars.list), size(vars.map), vars.list.size()]", [5, 3, 2, 3]],
    [
      "all, exists, exists_one",
      "[vars.list.all(x, x > 0), vars.list.exists(x, x > 2), vars.list.exists_one(x, x > 1)]",
      [true, true, false],
    ],
    ["map, filter", "vars.list.filter(x, x > 1).map(x, x * 10)", [30, 20]],
    ["macros over maps", "vars.map.all(k, vars.map[k] > 0)", true],
    ["conversions", "[int('7'), double('0.5'), string(1.5), bool('true')]", [7, 0.5, "1.5", true]],
    ["type", "type('a') == string && type(vars.list) == list", true],
    [
      "contains, startsWith, endsWith",
      "vars.text.contains('rü') && vars.text.startsWith('Gr') && vars.text.endsWith('ße')",
      true,
    ],
    ["matches is RE2", "vars.text.matches('^G[a-zü]+ße$')", true],
    ["duration and timestamp", "timestamp('2026-01-01T00:00:00Z') + duration('90s')", "2026-01-01T00:01:30Z"],
    ["getFullYear", "timestamp('2026-03-04T05:06:07Z').getFullYear()", 2026],
    ["strings: charAt", "'abc'.charAt(1)", "b"],
    ["strings: format", "'%s is %d'.format(['x', 3])", "x is 3"],
    ["strings: indexOf, lastIndexOf", "['abcabc'.indexOf('c'), 'abcabc'.lastIndexOf('c')]", [2, 5]],
    ["strings: join", "vars.names.join(', ')", "ann, bob"],
    ["strings: lowerAscii, upperAscii", "['ABC'.lowerAscii(), 'abc'.upperAscii()]", ["abc", "ABC"]],
    ["strings: replace", "['aaa'.replace('a', 'b'), 'aaa'.replace('a', 'b', 2)]", ["bbb", "bba"]],
    [
      "strings: split",
      "['a,b,c'.split(','), 'a,b,c'.split(',', 2)]",
      [
        ["a", "b", "c"],
        ["a", "b,c"],
      ],
    ],
    ["strings: substring", "['abcd'.substring(1), 'abcd'.substring(1, 3)]", ["bcd", "bc"]],
    ["strings: trim", "'  a '.trim()", "a"],
    ["strings: reverse", "'abc'.reverse()", "cba"],
    ["optionals: ?. and orValue", "vars.?nope.orValue(1)", 1],
    ["optionals: ?. where it is there", "vars.?one.orValue(5)", 1],
    ["optionals: through what is not there", "vars.?nope.?deeper.orValue('none')", "none"],
    ["optionals: [?]", "vars.list[?9].orValue(0)", 0],
    [
      "optionals: hasValue, or, value",
      "optional.none().or(optional.of(2)).value() == 2 && !vars.?nope.hasValue()",
      true,
    ],
    ["optionals: optMap", "vars.?one.optMap(x, x + 1).orValue(0)", 2],
    ["bind", "cel.bind(x, vars.seven * 2, x + x)", 28],
    ["json", "json(vars.map)", '{"a":2,"b":1}'],
    ["json of a string", "json(vars.text)", '"Grüße"'],
    ["parseJson", `parseJson('{"a": [1, null]}')`, { a: [1, null] }],
    ["parseJson of json", "parseJson(json(vars.list)) == vars.list", true],
    ["sum", "[sum(vars.list), sum([])]", [6, 0]],
    ["merge", "merge(vars.map, {'a': 9, 'c': 3})", { b: 1, a: 9, c: 3 }],
    ["merge is shallow", "merge({'m': {'x': 1}}, {'m': {'y': 2}})", { m: { y: 2 } }],
    ["range", "[range(3), range(0)]", [[0, 1, 2], []]],
    [
      "an expression of many parts",
      "range(4).filter(i, i % 2 == 1).map(i, vars.names.join('-') + string(i))",
      ["ann-bob1", "ann-bob3"],
    ],
  ])("functions: %s", async (_part, expression, value) => {
    await checkValue(expression, value);
  });

  test.each<[what: string, expression: string]>([
    ["a key that is not there", "vars.nope"],
    ["an element that is not there", "vars.list[9]"],
    ["JSON that is none", "parseJson('{')"],
    ["JSON with an integer that a double cannot hold", "parseJson('9007199254740993')"],
    ["sum of what are no numbers", "sum(vars.names)"],
    ["merge of what is no object", "merge(vars.map, vars.list)"],
    ["the value of none", "optional.none().value()"],
  ])("an evaluation error: %s", async (_what, expression) => {
    await checkFailure(expression, "EVALUATION_FAILED");
  });

  test.each<[what: string, expression: string]>([
    ["loops in loops", "range(1000).all(a, range(1000).all(b, true))"],
    ["a regular expression over long text, in a loop", "range(1000).all(i, vars.long.matches('^(a|aa)*$'))"],
    ["text that doubles", `cel.bind(a, 'xxxxxxxxxxxxxxxx', ${"cel.bind(a, a + a, ".repeat(20)}a${")".repeat(21)}`],
    ["a range of a thousand million", "range(1000000000)"],
  ])("evaluation has a cost bound: %s", async (_what, expression) => {
    const run = await evaluate(expression, { ...vars, long: "a".repeat(100_000) });
    expect(run).toMatchObject({ status: "RUN_STATUS_FAILED", error: { code: "EXPRESSION_LIMIT", nodeId: "end" } });
  });

  test("regexes are RE2: what makes others backtrack for ever takes its linear time", async () => {
    const run = await evaluate("vars.long.matches('^(a+)+$')", { long: `${"a".repeat(5_000)}!` });
    expect(run.output).toBe(false);
  });

  const end = { complete: {} };
  const bad: [sentence: string, graph: object, paths: string[]][] = [
    ["CEL that does not parse", { nodes: { a: { complete: { output: "${ 1 + }" } } } }, ["nodes.a.complete.output"]],
    [
      "names that do not exist",
      { nodes: { a: { complete: { output: { x: ["${nope}"] } } } } },
      ["nodes.a.complete.output.x[0]"],
    ],
    [
      "functions that do not exist",
      { nodes: { a: { complete: { output: "${nope(1)}" } } } },
      ["nodes.a.complete.output"],
    ],
    [
      "item is a name under for_each only",
      { nodes: { a: { complete: { output: "${item}" } } } },
      ["nodes.a.complete.output"],
    ],
    ["a template without its end", { nodes: { a: { complete: { output: "${vars.a" } } } }, ["nodes.a.complete.output"]],
    [
      "a template where bare CEL is meant",
      { nodes: { a: { assign: {}, next: [{ to: "b", when: "${vars.a}" }, { to: "b" }] }, b: end } },
      ["nodes.a.next[0].when"],
    ],
    [
      "calls_from that does not parse",
      { nodes: { a: { toolCalls: { callsFrom: "vars.calls[" }, next: [{ to: "b" }] }, b: end } },
      ["nodes.a.toolCalls.callsFrom"],
    ],
    [
      "a regex that is not RE2",
      { nodes: { a: { complete: { output: "${'a'.matches('(?=a)')}" } } } },
      ["nodes.a.complete.output"],
    ],
    [
      "a duration",
      { nodes: { a: { waitUntil: { after: "soon" }, next: [{ to: "b" }] }, b: end } },
      ["nodes.a.waitUntil.after"],
    ],
    [
      "a time",
      { nodes: { a: { waitUntil: { at: "tomorrow" }, next: [{ to: "b" }] }, b: end } },
      ["nodes.a.waitUntil.at"],
    ],
    [
      "a time that does not exist",
      { nodes: { a: { waitUntil: { at: "2026-02-30T00:00:00Z" }, next: [{ to: "b" }] }, b: end } },
      ["nodes.a.waitUntil.at"],
    ],
    ["a schema", { varsSchema: { type: "strnig" }, nodes: { a: end } }, ["varsSchema.type"]],
    [
      "a schema with a $ref that is not local",
      { varsSchema: { $ref: "https://example.com/s.json" }, nodes: { a: end } },
      ["varsSchema.$ref"],
    ],
    [
      "the schema of an answer",
      { nodes: { a: { askUser: { prompt: "?", answerSchema: { minLength: -1 } }, next: [{ to: "b" }] }, b: end } },
      ["nodes.a.askUser.answerSchema.minLength"],
    ],
    ["a missing target", { nodes: { a: { assign: {}, next: [{ to: "nowhere" }] } } }, ["nodes.a.next[0].to"]],
    ["a missing entry node", { entryNode: "nowhere", nodes: { a: end } }, ["entryNode"]],
    ["a missing on_error", { onError: "nowhere", nodes: { a: end } }, ["onError"]],
    ["a node that cannot be reached", { nodes: { a: end, b: end } }, ["nodes.b"]],
    [
      "a node that nothing ends",
      { nodes: { a: { assign: {}, next: [{ to: "b" }] }, b: { assign: {}, next: [{ to: "a" }] } } },
      ["nodes.a", "nodes.b"],
    ],
    [
      "every problem and its path",
      {
        nodes: {
          a: {
            assign: { values: { x: "${ 1 + }", y: "${nope}" } },
            next: [{ to: "b", when: "1 +" }, { to: "nowhere" }],
          },
          b: { waitUntil: { after: "soon" }, next: [{ to: "a" }] },
        },
      },
      [
        "nodes.a.assign.values.x",
        "nodes.a.assign.values.y",
        "nodes.a.next[0].when",
        "nodes.a.next[1].to",
        "nodes.b.waitUntil.after",
      ],
    ],
  ];
  test.each(bad)("a bad graph is refused at RegisterWorkflow: %s", async (_sentence, graph, paths) => {
    const refusal = await api.refused("RegisterWorkflow", {
      workflow: { workflowId: "bad", entryNode: "a", ...graph },
    });
    expect(refusal).toMatchObject({ httpStatus: 400, code: "invalid_argument", reason: "WORKFLOW_INVALID" });
    expect(refusal.fields.toSorted()).toEqual(paths.toSorted());
    for (const path of refusal.fields.slice(0, 3)) expect(refusal.message).toContain(path);
    expect((await api.refused("GetWorkflow", { workflowId: "bad" })).reason).toBe("WORKFLOW_UNKNOWN");
  });
});

function evaluateIn(output: string, start: object): Promise<Run> {
  return api.run({ entryNode: "end", nodes: { end: { complete: { output } } } }, start);
}
