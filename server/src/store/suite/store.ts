/** The database itself, and notices between servers. */
import { describe, expect, it } from "vitest";
import type { Store } from "../contract/store.ts";
import type { OpenBench } from "./bench.ts";

export function describeDatabase(openBench: OpenBench): void {
  describe("the database", () => {
    const bench = openBench("group");

    it("answers, and returns its time as an instant with microseconds", async () => {
      await bench.store.probe();
      const first = await bench.store.now();
      const second = await bench.other.now();
      expect(first).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
      expect(second >= first).toBe(true);
    });

    it("gives every server the same key for tokens", () => {
      expect(bench.store.tokenKey.byteLength).toBe(32);
      expect(Buffer.from(bench.store.tokenKey).equals(bench.other.tokenKey)).toBe(true);
      expect(Buffer.from(bench.store.tokenKey).equals(Buffer.alloc(32))).toBe(false);
    });

    it("carries a notice to the other servers and to the sender", async () => {
      const heard = (store: Store): Promise<{ payload: Promise<string>; stop: () => Promise<void> }> => {
        const payload = Promise.withResolvers<string>();
        return store.notices
          .listen((text) => payload.resolve(text))
          .then((stop) => ({ payload: payload.promise, stop }));
      };
      const here = await heard(bench.store);
      const there = await heard(bench.other);
      const text = JSON.stringify({ text: "ü'\"\\", filler: "x".repeat(6_900) });
      await bench.other.notices.send(text);
      expect(await here.payload).toBe(text);
      expect(await there.payload).toBe(text);
      await here.stop();
      await there.stop();
    });

    it("stops calling a listener after it stopped listening", async () => {
      const heard: string[] = [];
      const stop = await bench.store.notices.listen((text) => heard.push(text));
      await stop();
      const arrived = Promise.withResolvers<string>();
      const stopOther = await bench.other.notices.listen((text) => arrived.resolve(text));
      await bench.other.notices.send("after it left");
      expect(await arrived.promise).toBe("after it left");
      expect(heard).toEqual([]);
      await stopOther();
    });
  });
}
