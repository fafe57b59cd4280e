"""A tool worker that uses only the generated code: serves one tool, which returns its text.

    python -m smoke.worker [--url URL] [--tool NAME] [--jobs N]

URL is the address of the server: by default ABSTRACTRUNTIME_URL, or http://127.0.0.1:7400 if that is not set. The
worker stops after N jobs. After SIGTERM or SIGINT it finishes its jobs, then stops. docs/worker-protocol.md describes
the stream. Left out: heartbeats, which only jobs with a heartbeat_timeout need, and pauses, which a worker may ignore.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import grpc

from abstractruntime.v1 import effect_policy_pb2, worker_pb2
from abstractruntime.v1 import worker_service_pb2 as worker_messages
from abstractruntime.v1.worker_service_pb2_grpc import WorkerServiceStub

# How many jobs the worker has at once, including those whose results are not acknowledged.
CONCURRENCY = 8
# How long the server may take to send its welcome, which then says how long the server may be silent.
WELCOME_TIMEOUT_S = 10
# The pause before the next connection is random, up to a bound that doubles from the minimum to the maximum.
BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 10
# Refusals that a retry would repeat: a frame that breaks the protocol, and another worker with the same session id.
FINAL_CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ABORTED}

INPUT_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


async def echo(arguments: dict, idempotency_key: str) -> dict:
    """The tool. A tool that changes a system should pass it the key: a call may be repeated, with the same key."""
    if not isinstance(arguments.get("text"), str):
        raise ValueError("text must be a string")
    return {"text": arguments["text"]}


class Worker:
    """A worker across all its connections: its jobs outlive the stream on which they were offered."""

    def __init__(self, tool: str, jobs: int) -> None:
        self.session_id = str(uuid.uuid4())
        self.tool = tool
        # How many jobs it still takes, including those that it has.
        self.remaining = jobs
        # Its jobs, by token, until their result is acknowledged or the job is lost.
        self.jobs: dict[str, worker_messages.Job] = {}
        self.tasks: dict[str, asyncio.Task] = {}
        self.results: dict[str, worker_messages.JobResult] = {}
        # For the current connection: how many more jobs the server may offer, and the frames to send (None ends it).
        self.credit = 0
        self.outbox: asyncio.Queue[worker_messages.WorkRequest | None] = asyncio.Queue()

    async def serve(self, address: str) -> None:
        """Connects, and reconnects until the worker has said goodbye."""
        backoff_s = BACKOFF_MIN_S
        while not self.finished():
            try:
                async with grpc.aio.insecure_channel(address) as channel:
                    async for frame in self.frames(WorkerServiceStub(channel)):
                        backoff_s = BACKOFF_MIN_S
                        self.take(frame)
            except asyncio.TimeoutError:
                print("the stream broke: the server was silent for too long", file=sys.stderr)
            except grpc.aio.AioRpcError as error:
                if error.code() in FINAL_CODES:
                    raise
                print(f"the stream broke: {error.code().name}: {error.details()}", file=sys.stderr)
            if not self.finished():
                await asyncio.sleep(random.uniform(0, backoff_s))
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def frames(self, stub: WorkerServiceStub) -> AsyncIterator[worker_messages.WorkResponse]:
        """One connection: says hello and yields the server's frames. Raises TimeoutError if no frame comes in time."""
        self.credit = 0
        self.outbox = asyncio.Queue()
        tool = worker_pb2.Tool(
            name=self.tool,
            version="1",
            description="Returns its text.",
            input_schema=json.dumps(INPUT_SCHEMA).encode(),
            delivery=effect_policy_pb2.DELIVERY_AT_LEAST_ONCE,
        )
        self.send(
            hello=worker_messages.WorkerHello(
                worker_session_id=self.session_id, name="smoke-python", tools=[tool], held_tokens=list(self.jobs)
            )
        )
        call = stub.Work(self.outgoing())
        silence_timeout_s = WELCOME_TIMEOUT_S
        try:
            while (frame := await asyncio.wait_for(call.read(), silence_timeout_s)) is not grpc.aio.EOF:
                if frame.HasField("welcome"):
                    silence_timeout_s = frame.welcome.silence_timeout.ToTimedelta().total_seconds()
                yield frame
        finally:
            self.outbox.put_nowait(None)

    async def outgoing(self) -> AsyncIterator[worker_messages.WorkRequest]:
        outbox = self.outbox
        while (frame := await outbox.get()) is not None:
            yield frame

    def send(self, **frame) -> None:
        self.outbox.put_nowait(worker_messages.WorkRequest(**frame))

    def take(self, frame: worker_messages.WorkResponse) -> None:
        """Handles one frame from the server. Ignores unknown frames, and all frames after the goodbye."""
        if self.finished():
            return
        match frame.WhichOneof("frame"):
            case "welcome":
                # The previous connection may have lost these results. The server recognises those that it already has.
                if self.results:
                    self.send(result=worker_messages.JobResults(results=self.results.values()))
            case "offer":
                self.credit -= len(frame.offer.jobs)
                self.send(accept=worker_messages.JobAccept(tokens=[job.token for job in frame.offer.jobs]))
                for job in frame.offer.jobs:
                    self.jobs[job.token] = job
                    if job.delivery != effect_policy_pb2.DELIVERY_AT_MOST_ONCE:
                        self.begin(job)
            case "start":
                for token in frame.start.tokens:
                    if token in self.jobs:
                        self.begin(self.jobs[token])
            case "result_ack":
                for ack in frame.result_ack.acks:
                    if ack.token in self.jobs:
                        self.forget(ack.token)
                        self.remaining = max(0, self.remaining - 1)
                        print(f"{worker_messages.ResultStatus.Name(ack.status)} {ack.reason}".strip(), flush=True)
            case "cancel":
                for token in frame.cancel.tokens:
                    self.forget(token)
            case "lease_lost":
                for token in frame.lease_lost.tokens:
                    self.forget(token)
            case "ping":
                self.send(pong=worker_messages.WorkerPong(number=frame.ping.number))
        self.grant_credit()
        self.leave_if_finished()

    def begin(self, job: worker_messages.Job) -> None:
        if job.token not in self.tasks:
            self.tasks[job.token] = asyncio.create_task(self.run(job))

    async def run(self, job: worker_messages.Job) -> None:
        try:
            output = await echo(json.loads(job.payload), job.idempotency_key)
            result = worker_messages.JobResult(token=job.token, output=json.dumps(output).encode())
        except Exception as error:  # What a tool raises fails the call, not the worker.
            failure = worker_messages.JobFailure(message=str(error), non_retryable=isinstance(error, ValueError))
            result = worker_messages.JobResult(token=job.token, failure=failure)
        self.results[job.token] = result
        self.send(result=worker_messages.JobResults(results=[result]))

    def forget(self, token: str) -> None:
        self.jobs.pop(token, None)
        self.results.pop(token, None)
        if task := self.tasks.pop(token, None):
            task.cancel()

    def grant_credit(self) -> None:
        more = min(CONCURRENCY, self.remaining) - len(self.jobs) - self.credit
        if more > 0:
            self.send(credit=worker_messages.WorkerCredit(jobs=more))
            self.credit += more

    def drain(self) -> None:
        """Takes no more jobs, and says goodbye when its jobs are done."""
        self.remaining = 0
        self.send(drain=worker_messages.WorkerDrain())
        self.leave_if_finished()

    def finished(self) -> bool:
        return self.remaining == 0 and not self.jobs

    def leave_if_finished(self) -> None:
        if self.finished():
            self.send(goodbye=worker_messages.WorkerGoodbye())
            self.outbox.put_nowait(None)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default=os.environ.get("ABSTRACTRUNTIME_URL", "http://127.0.0.1:7400"))
    parser.add_argument("--tool", default="smoke.echo")
    parser.add_argument("--jobs", type=int, default=sys.maxsize)
    arguments = parser.parse_args()

    worker = Worker(arguments.tool, arguments.jobs)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, worker.drain)
    await worker.serve(urlsplit(arguments.url).netloc)


if __name__ == "__main__":
    asyncio.run(main())
