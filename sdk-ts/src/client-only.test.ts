/**
 * The client in browsers: another process resolves the package like a bundler for browsers, cannot load anything of
 * Node, and calls a real server by fetch.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { useServer } from "../../tests/conformance/server.ts";

const server = useServer();

const PROGRAM = `
import { isBuiltin, registerHooks } from "node:module";
registerHooks({
  resolve(specifier, context, next) {
    if (isBuiltin(specifier)) throw new Error(specifier + " is imported by " + context.parentURL);
    return next(specifier, { ...context, conditions: context.conditions.filter((name) => name !== "node") });
  },
});
const [address, entry] = process.argv.slice(-2);
const { askUser, Client, complete, workflow } = await import(entry);
const client = new Client({ addresses: address });
const asks = workflow("asks", {}, {
  ask: askUser({ prompt: "Sure?" }, { resultKey: "reply", next: "end" }),
  end: complete("\${vars.reply.answer}"),
});
const watch = client.waits.watch();
await watch.opened();
const run = await client.run(asks, {});
for await (const wait of watch) {
  await client.respond(wait.runId, "yes");
  break;
}
const output = await client.result(run);
const refused = await client.runs.get("none").catch((error) => error.reason);
process.stdout.write(JSON.stringify({ output, refused }));
client.close();
`;

test("runs without anything of Node", async () => {
  const entry = new URL("client-only.ts", import.meta.url).href;
  const options = ["--conditions=browser", "--input-type=module", "--eval", PROGRAM, "--", server.url, entry];
  const { stdout } = await promisify(execFile)(process.execPath, options, { timeout: 60_000 });
  expect(JSON.parse(stdout)).toEqual({ output: "yes", refused: "RUN_UNKNOWN" });
});
