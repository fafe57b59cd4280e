import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readRegularFile } from "./regular-file.ts";

const folder = mkdtempSync(join(tmpdir(), "regular-file-"));
const socket = createServer();
afterAll(() => {
  socket.close();
  rmSync(folder, { recursive: true });
});
const at = (name: string) => join(folder, name);

test("a regular file, and a link to one, is read", () => {
  writeFileSync(at("file"), "x".repeat(100_000));
  symlinkSync(at("file"), at("link"));
  expect(readRegularFile(at("file"), 100_000).toString()).toBe("x".repeat(100_000));
  expect(readRegularFile(at("link"), 200_000)).toHaveLength(100_000);
  expect(readRegularFile("/proc/self/status", 100_000).length).toBeGreaterThan(0);
});

test("a FIFO, a device, a socket, a directory and what is too large are refused, and not waited for", async () => {
  execFileSync("sh", ["-c", 'mkfifo "$0"', at("fifo")]);
  await new Promise<void>((resolve) => socket.listen(at("socket"), resolve));
  writeFileSync(at("huge"), "");
  truncateSync(at("huge"), 2 ** 40);
  const refusals = {
    [at("fifo")]: /a FIFO/,
    "/dev/zero": /a device/,
    [folder]: /a directory/,
    [at("socket")]: /a socket|ENXIO/,
    [at("huge")]: /larger than 1000 bytes/,
    // The kernel says that it has no bytes.
    "/proc/self/smaps": /larger than 1000 bytes/,
    [at("missing")]: /ENOENT/,
  };
  for (const [path, message] of Object.entries(refusals)) {
    expect(() => readRegularFile(path, 1_000)).toThrow(message);
  }
});
