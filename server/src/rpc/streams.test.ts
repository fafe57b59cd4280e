import { describe, expect, test } from "vitest";
import { mapErrors, untilAborted } from "./streams.ts";

async function collect<T>(source: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const item of source) into.push(item);
  return into;
}

async function* numbers(onEnd: () => void = () => undefined) {
  try {
    yield* [1, 2, 3];
  } finally {
    onEnd();
  }
}

describe("untilAborted", () => {
  test("passes items on and ends with the source", async () => {
    expect(await collect(untilAborted(numbers(), new AbortController().signal))).toEqual([1, 2, 3]);
  });

  test("throws the reason of the abort even if the source hangs", async () => {
    const abort = new AbortController();
    const hanging: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
    };
    const next = untilAborted(hanging, abort.signal).next();
    abort.abort(new Error("enough"));
    await expect(next).rejects.toThrow("enough");
  });

  test("throws the reason even if the source ends because of the abort", async () => {
    const abort = new AbortController();
    async function* heeding() {
      yield 1;
      await new Promise((resolve) => abort.signal.addEventListener("abort", resolve));
    }
    const seen: number[] = [];
    const reading = collect(untilAborted(heeding(), abort.signal), seen);
    queueMicrotask(() => setImmediate(() => abort.abort(new Error("enough"))));
    await expect(reading).rejects.toThrow("enough");
    expect(seen).toEqual([1]);
  });

  test("requests nothing from the source after the abort", async () => {
    let asked = 0;
    const source: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          asked += 1;
          return Promise.resolve({ done: false, value: asked });
        },
      }),
    };
    const abort = new AbortController();
    abort.abort(new Error("before"));
    await expect(untilAborted(source, abort.signal).next()).rejects.toThrow("before");
    expect(asked).toBe(0);
  });

  test("releases the source when its reader stops", async () => {
    const ended = Promise.withResolvers<string>();
    const items = untilAborted(
      numbers(() => ended.resolve("ended")),
      new AbortController().signal,
    );
    await items.next();
    await items.return(undefined);
    expect(await ended.promise).toBe("ended");
  });

  test("leaves no listener behind", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const counting = new Proxy(signal, {
      get(target, name) {
        if (name === "addEventListener") listeners += 1;
        if (name === "removeEventListener") listeners -= 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
    expect(await collect(untilAborted(numbers(), counting))).toEqual([1, 2, 3]);
    expect(listeners).toBe(0);
  });
});

test("mapErrors maps the source's error, after its items", async () => {
  async function* failing() {
    yield 1;
    throw new Error("inside");
  }
  const seen: number[] = [];
  const reading = collect(
    mapErrors(failing(), (error) => new TypeError((error as Error).message)),
    seen,
  );
  await expect(reading).rejects.toThrow(TypeError);
  expect(seen).toEqual([1]);
});
