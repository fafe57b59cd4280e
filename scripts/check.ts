/**
 * Runs every gate and reports which ones refused. CI runs exactly this besides the tests.
 *
 * A gate is the npm script `check:<name>` and can be run alone. Here they run two at a time. Each gate's output is
 * printed when it ends, and the exit code is 1 if any gate refused.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** The slowest first, so that the two runners end at about the same time. */
const gates = ["proto", "migrations", "lint", "dead", "types", "format", "lines"];

/** The number of cores of a small CI machine; most gates are multi-threaded. */
const gatesAtOnce = 2;

const refused: string[] = [];
const queue = [...gates];

async function runGate(gate: string): Promise<void> {
  const startedAt = performance.now();
  const child = spawn("npm", ["run", "--silent", `check:${gate}`], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  const passed = child.exitCode === 0;
  if (!passed) refused.push(gate);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${passed ? "ok     " : "REFUSED"} ${gate} (${seconds} s)`);
  if (!passed) console.log(`${stdout}${stderr}`.trimEnd().replaceAll(/^/gm, "        "));
}

async function runQueue(): Promise<void> {
  for (let gate = queue.shift(); gate !== undefined; gate = queue.shift()) await runGate(gate);
}

await Promise.all(Array.from({ length: gatesAtOnce }, runQueue));
if (refused.length > 0) {
  console.log(`\n${refused.length} of ${gates.length} gates refused: ${refused.join(", ")}`);
  console.log(
    `Run one gate with npm run check:${refused[0]}. Fix formatting with npm run format, generated files with npm run generate.`,
  );
  process.exitCode = 1;
} else {
  console.log(`\nAll ${gates.length} gates passed.`);
}
