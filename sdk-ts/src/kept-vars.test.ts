import { type Job, JobSchema } from "@abstractruntime/proto/worker_service_pb";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";

import { createKeptVars } from "./kept-vars.ts";

type Large = { name?: string; id: bigint; text?: string };

function jobOf(large: Large[], forgottenVars: bigint[] = []): Job {
  const largeVars = large.map(({ name = "a", id, text = "" }) => ({ name, id, value: Buffer.from(text) }));
  return create(JobSchema, { largeVars, forgottenVars });
}

const broken = (message: RegExp) =>
  expect.objectContaining({ code: Code.Internal, message: expect.stringMatching(message) as string }) as Error;

it("completes jobs that name what came before", () => {
  const kept = createKeptVars(1_000);
  kept.complete(
    jobOf([
      { id: 1n, text: "[1]" },
      { id: 2n, text: "[2]" },
    ]),
  );
  const job = jobOf([{ id: 2n }, { id: 1n }, { id: 0n, text: "[0]" }]);
  kept.complete(job);
  expect(job.largeVars.map(({ value }) => Buffer.from(value).toString())).toEqual(["[2]", "[1]", "[0]"]);
});

it("does not hold the frame that brought a text", () => {
  const kept = createKeptVars(1_000);
  const frame = Buffer.alloc(100_000, "1");
  kept.complete(create(JobSchema, { largeVars: [{ name: "a", id: 1n, value: frame.subarray(10, 20) }] }));
  const job = jobOf([{ id: 1n }]);
  kept.complete(job);
  expect(job.largeVars[0]!.value.buffer.byteLength).toBe(10);
});

it("forgets after the job that says so", () => {
  const kept = createKeptVars(10);
  kept.complete(jobOf([{ id: 1n, text: "123456" }]));
  const job = jobOf([{ id: 1n }, { id: 2n, text: "654321" }], [1n, 77n]);
  kept.complete(job);
  expect(job.largeVars.every(({ value }) => value.length === 6)).toBe(true);
  expect(() => kept.complete(jobOf([{ id: 1n }]))).toThrow(broken(/large vars 1 \("a"\), which it has not sent/));
  kept.complete(jobOf([{ id: 2n }]));
});

it("takes no null for what it does not have", () => {
  for (const id of [0n, 5n, -1n]) {
    expect(() => createKeptVars(10).complete(jobOf([{ id }]))).toThrow(broken(/has not sent/));
  }
});

it("keeps no more than it said, and nothing twice", () => {
  const kept = createKeptVars(10);
  kept.complete(jobOf([{ id: 0n, text: "12345678901" }]));
  kept.complete(jobOf([{ id: 1n, text: "1234567890" }]));
  expect(() => kept.complete(jobOf([{ id: 1n, text: "2" }]))).toThrow(broken(/a second time/));
  expect(() => kept.complete(jobOf([{ id: 2n, text: "2" }]))).toThrow(broken(/more large vars than the 10 bytes/));
  expect(() => createKeptVars(0).complete(jobOf([{ id: 1n, text: "1" }]))).toThrow(broken(/than the 0 bytes/));
});
