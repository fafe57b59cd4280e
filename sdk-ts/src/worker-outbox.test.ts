import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { createOutbox } from "./worker-outbox.ts";
import { createResultStore } from "./worker-results.ts";

describe("credit", () => {
  const CONCURRENCY = 8;
  let heldJobs = 0;

  beforeEach(() => {
    heldJobs = 0;
    vi.useFakeTimers();
  });
  afterEach(() => void vi.useRealTimers());

  function openOutbox() {
    const onDue = vi.fn();
    const creditWanted = (credit: number) => CONCURRENCY - heldJobs - credit;
    const outbox = createOutbox(createResultStore(), { concurrency: CONCURRENCY, creditWanted, onDue });
    return { outbox, onDue, takeCredit: () => outbox.takeFrame()?.frame.value };
  }

  it("comes back in parts while the server has enough", () => {
    const { outbox, onDue, takeCredit } = openOutbox();
    expect(takeCredit()).toMatchObject({ jobs: 8 });
    outbox.useCredit(1);
    expect(takeCredit()).toBeUndefined();
    vi.advanceTimersByTime(60_000);
    expect(onDue).not.toHaveBeenCalled();
    outbox.useCredit(1);
    expect(takeCredit()).toMatchObject({ jobs: 2 });
  });

  it("comes back soon where little is left", () => {
    const { outbox, onDue, takeCredit } = openOutbox();
    expect(takeCredit()).toMatchObject({ jobs: 8 });
    outbox.useCredit(7);
    heldJobs = 6;
    expect(takeCredit()).toBeUndefined();
    vi.advanceTimersByTime(20);
    expect(onDue).toHaveBeenCalledOnce();
    expect(takeCredit()).toMatchObject({ jobs: 1 });
  });
});
