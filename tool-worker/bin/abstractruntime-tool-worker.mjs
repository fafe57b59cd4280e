#!/usr/bin/env node
// Plain JavaScript that every Node can parse: an old Node must reach the message below.
const neededMajor = 24;
const major = Number(process.versions.node.split(".")[0]);
if (major < neededMajor) {
  console.error(
    `abstractruntime-tool-worker needs Node ${neededMajor} or newer; this is Node ${process.versions.node} (${process.execPath}).\n` +
      "In a checkout, `npm ci` installs the right version, and `npx abstractruntime-tool-worker` uses it.",
  );
  process.exit(1);
}
await import("#main");
