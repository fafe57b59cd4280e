import { expect, test } from "vitest";
import { DeadlineError, withDeadline } from "./deadline.ts";
import { createRunTable } from "./run-table.ts";

const KEY = { tenantId: "t", runId: "r" };

test("an operation whose deadline passes before its turn is forgotten, and the next one has its turn", async () => {
  const table = createRunTable({ retain: () => undefined, release: () => undefined });
  const first = Promise.withResolvers<string>();
  const done: string[] = [];
  const held = table.exclusive(KEY, () => first.promise);
  const late = withDeadline({ boundMs: 20, isDatabaseSilent: () => false }, (deadline) =>
    table.exclusive(KEY, async () => done.push("late"), deadline),
  );
  const next = table.exclusive(KEY, async () => done.push("next"));
  await expect(late).rejects.toThrow(DeadlineError);
  first.resolve("first");
  expect(await held).toBe("first");
  await next;
  expect(done).toEqual(["next"]);
  await table.idle();
});
