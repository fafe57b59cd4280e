/** Restate's worker: the HTTP/2 endpoint of its SDK, over which the server streams both ways. */
import * as restate from "@restatedev/restate-sdk";
import { answerRequests } from "../../programs/program.ts";
import { step, STEPS_PER_RUN } from "../ten-steps.ts";

const tenSteps = restate.service({
  name: "tenSteps",
  handlers: {
    run: async (ctx: restate.Context, _input: { order: number }) => {
      let count = -1;
      for (let index = 0; index < STEPS_PER_RUN; index++) {
        count = await ctx.run(`step-${index + 1}`, () => step(index));
      }
      return { count };
    },
  },
});

export type TenSteps = typeof tenSteps;

const port = await restate.serve({
  services: [tenSteps],
  port: 0,
  // By default it logs each invocation.
  logger: ({ level }, ...message) => {
    if (["warn", "error"].includes(level)) console.error(...message);
  },
});

answerRequests({ port: () => port });
