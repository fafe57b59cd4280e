/** Restate runs through its own client: one request per run, answered with its result, over kept-alive connections. */
import { connect } from "@restatedev/restate-sdk-clients";
import { answerRequests, programArgument } from "../../programs/program.ts";
import { closedLoop } from "../closed-loop.ts";
import type { RestateLoadArgument } from "../contenders/restate.ts";
import type { TenSteps } from "./restate-worker.ts";

const { url, runs } = programArgument() as RestateLoadArgument;
const client = connect({ url }).serviceClient<TenSteps>({ name: "tenSteps" });

answerRequests(closedLoop(runs, async (order) => (await client.run({ order })).count));
