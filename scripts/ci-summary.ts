/**
 * Prints "N passed, N failed, N skipped" from vitest's JSON results, as the last line of a CI run. Exits with 1 if
 * anything failed.
 *
 * Arguments: the results file, the exit code of the gates, the exit code of the tests. Each failure that is not a test
 * (a file that did not load, an unhandled rejection, missing results, refused gates) counts as one.
 */
import { readFileSync } from "node:fs";

type Results = {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: { status: string }[] }[];
};

const [resultsPath = "", gatesExitCode = "1", testsExitCode = "1"] = process.argv.slice(2);

function readResults(): Results | undefined {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-return -- vitest's JSON reporter documents this shape
    return JSON.parse(readFileSync(resultsPath, "utf8"));
  } catch {
    return undefined;
  }
}

const results = readResults();
const passed = results?.numPassedTests ?? 0;
const skipped = (results?.numPendingTests ?? 0) + (results?.numTodoTests ?? 0);
const filesNotLoaded = (results?.testResults ?? []).filter(
  (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
).length;
let failed = (results?.numFailedTests ?? 0) + filesNotLoaded;
if (testsExitCode !== "0" && failed === 0) failed = 1;
if (gatesExitCode !== "0") {
  failed += 1;
  console.log("The gates refused; see npm run check above.");
}

console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
if (failed > 0 || passed === 0) process.exitCode = 1;
