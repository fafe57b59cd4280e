import { expect, test } from "vitest";
import { createAdmission } from "./admission.ts";

const MIB = 1024 * 1024;

test("starts are refused while too many bytes of others are under way, and accepted again after those", async () => {
  const admission = createAdmission(() => 0, 10);
  const { promise, resolve } = Promise.withResolvers<void>();
  const held = Array.from({ length: 64 }, () => admission.admit(MIB, () => promise));
  await expect(admission.admit(1, () => Promise.resolve())).rejects.toMatchObject({ reason: "OVERLOADED" });
  resolve();
  await Promise.all(held);
  await expect(admission.admit(MIB, () => Promise.resolve("in"))).resolves.toBe("in");
});

test("a start that fails frees its bytes", async () => {
  const admission = createAdmission(() => 0, 10);
  await expect(admission.admit(100 * MIB, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(admission.admit(100 * MIB, () => Promise.resolve("in"))).resolves.toBe("in");
});

test("starts are refused while too many items wait to be committed", async () => {
  let pending = 10;
  const admission = createAdmission(() => pending, 10);
  const start = () => admission.admit(1, () => Promise.resolve("in"));
  await expect(start()).rejects.toMatchObject({ reason: "OVERLOADED", retryAfterMs: 1_000 });
  pending = 9;
  await expect(start()).resolves.toBe("in");
});
