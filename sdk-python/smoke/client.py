"""A client that uses only the generated code: registers graphs, runs them, answers a question, and checks the ledger.

    python -m smoke.client [--url URL] [--tool NAME]

URL is the address of the server: by default ABSTRACTRUNTIME_URL, or http://127.0.0.1:7400 if that is not set. With
--tool, a second graph calls this tool, which smoke.worker serves. Prints one line of JSON. The exit code is 1 if a
check fails.
"""

import argparse
import hashlib
import json
import os
import uuid
from urllib.parse import urlsplit

import grpc
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from abstractruntime.v1 import ledger_service_pb2 as ledger_messages
from abstractruntime.v1 import run_pb2, runtime_service_pb2, step_record_pb2, wait_pb2, workflow_pb2
from abstractruntime.v1.ledger_service_pb2_grpc import LedgerServiceStub
from abstractruntime.v1.runtime_service_pb2_grpc import RuntimeServiceStub

GREET = {
    "workflowId": "smoke-greet",
    "entryNode": "ask",
    "nodes": {
        "ask": {"askUser": {"prompt": "Who is there?"}, "resultKey": "reply", "next": [{"to": "end"}]},
        "end": {"complete": {"output": "Hello, ${vars.reply.answer}!"}},
    },
}

# Two parallel calls of the tool: one that succeeds, and one that fails.
ECHO = {
    "workflowId": "smoke-echo",
    "entryNode": "call",
    "nodes": {
        "call": {
            "toolCalls": {
                "calls": [
                    {"name": "${vars.tool}", "arguments": {"text": "${vars.text}"}},
                    {"name": "${vars.tool}", "arguments": {"text": 7}},
                ]
            },
            "resultKey": "called",
            "next": [{"to": "end"}],
        },
        "end": {"complete": {"output": "${vars.called.results}"}},
    },
}


def start(runtime: RuntimeServiceStub, graph: dict, variables: dict) -> str:
    """Registers the graph, starts a run of it, and returns the run's id. Both requests are safe to retry."""
    workflow = json_format.ParseDict(graph, workflow_pb2.Workflow())
    runtime.RegisterWorkflow(runtime_service_pb2.RegisterWorkflowRequest(workflow=workflow))
    request = runtime_service_pb2.StartRunRequest(run_id=str(uuid.uuid4()), workflow_id=workflow.workflow_id)
    request.vars.update(variables)
    return runtime.StartRun(request).run.run_id


def await_run(runtime: RuntimeServiceStub, run_id: str, status: run_pb2.RunStatus) -> run_pb2.Run:
    """Waits up to 30 s, the server's default, for the run to end or to wait for input, and checks its status."""
    run = runtime.AwaitRun(runtime_service_pb2.AwaitRunRequest(run_id=run_id)).run
    expect(run.status == status, f"the run is\n{run}")
    return run


def answer(runtime: RuntimeServiceStub, run_id: str, wait: wait_pb2.Wait, text: str) -> None:
    """Answers a question. The request id makes the request safe to retry."""
    payload = struct_pb2.Value()
    payload.struct_value.update({"answer": text})
    request = runtime_service_pb2.ResumeRunRequest(
        run_id=run_id, wait_id=wait.wait_id, payload=payload, request_id=str(uuid.uuid4()), actor_id="smoke-python"
    )
    runtime.ResumeRun(request)


def list_step_records(ledger: LedgerServiceStub, run_id: str) -> list[step_record_pb2.StepRecord]:
    """Returns all records of the run, with their proofs."""
    records: list[step_record_pb2.StepRecord] = []
    request = ledger_messages.ListStepRecordsRequest(run_id=run_id, include_proof=True)
    while True:
        page = ledger.ListStepRecords(request)
        records.extend(page.step_records)
        if not page.next_page_token:
            return records
        request.page_token = page.next_page_token


def check_chain(records: list[step_record_pb2.StepRecord]) -> None:
    """Checks each record's hash and its link to the previous record (docs/ledger-format.md), but not its parts."""
    previous = "0" * 64
    for record in records:
        header = record.proof.header_json.encode()
        expect(json.loads(header)["prev"] == previous, f"record {record.seq} does not link to the previous record")
        previous = hashlib.sha256(b"abstractruntime/step-record/v1\0" + header).hexdigest()
        expect(record.hash == previous, f"record {record.seq} has the wrong hash")


def reason_of(error: grpc.RpcError) -> str:
    """Returns the reason of a refusal: a name of ErrorReason without its prefix. Empty if there is no reason."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return info.reason
    return ""


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default=os.environ.get("ABSTRACTRUNTIME_URL", "http://127.0.0.1:7400"))
    parser.add_argument("--tool")
    arguments = parser.parse_args()
    report: dict = {}

    with grpc.insecure_channel(urlsplit(arguments.url).netloc) as channel:
        runtime, ledger = RuntimeServiceStub(channel), LedgerServiceStub(channel)

        run_id = start(runtime, GREET, {})
        await_run(runtime, run_id, run_pb2.RUN_STATUS_WAITING)
        inbox = runtime.ListWaits(
            runtime_service_pb2.ListWaitsRequest(filter=wait_pb2.WaitFilter(run_id=run_id))
        ).waits
        expect(len(inbox) == 1 and inbox[0].prompt == "Who is there?", f"the inbox is\n{inbox}")
        answer(runtime, run_id, inbox[0], "Ada")
        run = await_run(runtime, run_id, run_pb2.RUN_STATUS_COMPLETED)
        expect(run.output.string_value == "Hello, Ada!", f"the output is\n{run.output}")
        report["greeting"] = run.output.string_value

        records = list_step_records(ledger, run_id)
        expect(len(records) == run.seq, f"the ledger has {len(records)} records, but the run has {run.seq}")
        check_chain(records)
        report["kinds"] = [record.kind for record in records]

        try:
            answer(runtime, run_id, inbox[0], "Grace")
        except grpc.RpcError as error:
            report["refused"] = reason_of(error)
        expect(report.get("refused", "") != "", "a second answer was not refused")

        if arguments.tool:
            run_id = start(runtime, ECHO, {"tool": arguments.tool, "text": "hello"})
            run = await_run(runtime, run_id, run_pb2.RUN_STATUS_COMPLETED)
            report["results"] = json_format.MessageToDict(run.output)
            expect(report["results"][0]["output"] == {"text": "hello"}, f"the output is\n{run.output}")
            check_chain(list_step_records(ledger, run_id))

    print(json.dumps(report))


if __name__ == "__main__":
    main()
