// A client that uses only the generated code: registers graphs, runs them, answers a question, and checks the ledger.
//
//	go run ./smoke/client [--url URL] [--tool NAME]
//
// URL is the address of the server: by default ABSTRACTRUNTIME_URL, or http://127.0.0.1:7400 if that is not set. With
// --tool, a second graph calls this tool, which smoke/worker serves. Prints one line of JSON. The exit code is 1 if a
// check fails.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/abstractruntime/abstractruntime/sdk-go/abstractruntime/v1"
)

const greetGraph = `{
	"workflowId": "smoke-greet",
	"entryNode": "ask",
	"nodes": {
		"ask": {"askUser": {"prompt": "Who is there?"}, "resultKey": "reply", "next": [{"to": "end"}]},
		"end": {"complete": {"output": "Hello, ${vars.reply.answer}!"}}
	}
}`

// Two parallel calls of the tool: one that succeeds, and one that fails.
const echoGraph = `{
	"workflowId": "smoke-echo",
	"entryNode": "call",
	"nodes": {
		"call": {
			"toolCalls": {
				"calls": [
					{"name": "${vars.tool}", "arguments": {"text": "${vars.text}"}},
					{"name": "${vars.tool}", "arguments": {"text": 7}}
				]
			},
			"resultKey": "called",
			"next": [{"to": "end"}]
		},
		"end": {"complete": {"output": "${vars.called.results}"}}
	}
}`

type report struct {
	Greeting string   `json:"greeting"`
	Kinds    []string `json:"kinds"`
	Refused  string   `json:"refused"`
	Results  []any    `json:"results,omitempty"`
}

type client struct {
	runtime pb.RuntimeServiceClient
	ledger  pb.LedgerServiceClient
}

func main() {
	log.SetFlags(0)
	serverURL := flag.String("url", cmp.Or(os.Getenv("ABSTRACTRUNTIME_URL"), "http://127.0.0.1:7400"), "the server")
	tool := flag.String("tool", "", "a tool to call")
	flag.Parse()
	if err := run(context.Background(), *serverURL, *tool); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, serverURL, tool string) error {
	server, err := url.Parse(serverURL)
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(server.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	c := client{pb.NewRuntimeServiceClient(connection), pb.NewLedgerServiceClient(connection)}

	var report report
	if err := c.greet(ctx, &report); err != nil {
		return err
	}
	if tool != "" {
		if err := c.callTool(ctx, tool, &report); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func (c client) greet(ctx context.Context, report *report) error {
	runID, err := c.start(ctx, greetGraph, nil)
	if err != nil {
		return err
	}
	if _, err := c.awaitRun(ctx, runID, pb.RunStatus_RUN_STATUS_WAITING); err != nil {
		return err
	}
	inbox, err := c.runtime.ListWaits(ctx, &pb.ListWaitsRequest{Filter: &pb.WaitFilter{RunId: runID}})
	if err != nil {
		return err
	}
	if len(inbox.Waits) != 1 || inbox.Waits[0].Prompt != "Who is there?" {
		return fmt.Errorf("the inbox is %v", inbox.Waits)
	}
	if err := c.answer(ctx, inbox.Waits[0], "Ada"); err != nil {
		return err
	}
	run, err := c.awaitRun(ctx, runID, pb.RunStatus_RUN_STATUS_COMPLETED)
	if err != nil {
		return err
	}
	report.Greeting = run.Output.GetStringValue()
	if report.Greeting != "Hello, Ada!" {
		return fmt.Errorf("the output is %v", run.Output)
	}

	records, err := c.listStepRecords(ctx, runID)
	if err != nil {
		return err
	}
	if len(records) != int(run.Seq) {
		return fmt.Errorf("the ledger has %d records, but the run has %d", len(records), run.Seq)
	}
	for _, record := range records {
		report.Kinds = append(report.Kinds, record.Kind)
	}
	if err := checkChain(records); err != nil {
		return err
	}

	report.Refused = reasonOf(c.answer(ctx, inbox.Waits[0], "Grace"))
	if report.Refused == "" {
		return errors.New("a second answer was not refused")
	}
	return nil
}

func (c client) callTool(ctx context.Context, tool string, report *report) error {
	runID, err := c.start(ctx, echoGraph, map[string]any{"tool": tool, "text": "hello"})
	if err != nil {
		return err
	}
	run, err := c.awaitRun(ctx, runID, pb.RunStatus_RUN_STATUS_COMPLETED)
	if err != nil {
		return err
	}
	report.Results = run.Output.GetListValue().AsSlice()
	first := run.Output.GetListValue().GetValues()[0].GetStructValue().GetFields()["output"].GetStructValue()
	if first.GetFields()["text"].GetStringValue() != "hello" {
		return fmt.Errorf("the output is %v", run.Output)
	}
	records, err := c.listStepRecords(ctx, runID)
	if err != nil {
		return err
	}
	return checkChain(records)
}

// start registers the graph, starts a run of it, and returns the run's id. Both requests are safe to retry.
func (c client) start(ctx context.Context, graph string, vars map[string]any) (string, error) {
	var workflow pb.Workflow
	if err := protojson.Unmarshal([]byte(graph), &workflow); err != nil {
		return "", err
	}
	if _, err := c.runtime.RegisterWorkflow(ctx, &pb.RegisterWorkflowRequest{Workflow: &workflow}); err != nil {
		return "", err
	}
	fields, err := structpb.NewStruct(vars)
	if err != nil {
		return "", err
	}
	request := &pb.StartRunRequest{RunId: rand.Text(), WorkflowId: workflow.WorkflowId, Vars: fields}
	reply, err := c.runtime.StartRun(ctx, request)
	return reply.GetRun().GetRunId(), err
}

// awaitRun waits up to 30 s, the server's default, for the run to end or to wait for input, and checks its status.
func (c client) awaitRun(ctx context.Context, runID string, expected pb.RunStatus) (*pb.Run, error) {
	reply, err := c.runtime.AwaitRun(ctx, &pb.AwaitRunRequest{RunId: runID})
	if err == nil && reply.Run.Status != expected {
		err = fmt.Errorf("the run is %v", reply.Run)
	}
	return reply.GetRun(), err
}

// answer answers a question. The request id makes the request safe to retry.
func (c client) answer(ctx context.Context, wait *pb.Wait, text string) error {
	payload, err := structpb.NewValue(map[string]any{"answer": text})
	if err != nil {
		return err
	}
	_, err = c.runtime.ResumeRun(ctx, &pb.ResumeRunRequest{
		RunId: wait.RunId, WaitId: wait.WaitId, Payload: payload, RequestId: rand.Text(), ActorId: "smoke-go",
	})
	return err
}

// listStepRecords returns all records of the run, with their proofs.
func (c client) listStepRecords(ctx context.Context, runID string) ([]*pb.StepRecord, error) {
	var records []*pb.StepRecord
	request := &pb.ListStepRecordsRequest{RunId: runID, IncludeProof: true}
	for {
		page, err := c.ledger.ListStepRecords(ctx, request)
		if err != nil {
			return nil, err
		}
		records = append(records, page.StepRecords...)
		if page.NextPageToken == "" {
			return records, nil
		}
		request.PageToken = page.NextPageToken
	}
}

// checkChain checks each record's hash and its link to the previous record (docs/ledger-format.md). The parts are not
// checked.
func checkChain(records []*pb.StepRecord) error {
	previous := strings.Repeat("0", 64)
	for _, record := range records {
		var header struct{ Prev string }
		if err := json.Unmarshal([]byte(record.Proof.HeaderJson), &header); err != nil {
			return err
		}
		if header.Prev != previous {
			return fmt.Errorf("record %d does not link to the previous record", record.Seq)
		}
		hash := sha256.Sum256([]byte("abstractruntime/step-record/v1\x00" + record.Proof.HeaderJson))
		previous = hex.EncodeToString(hash[:])
		if record.Hash != previous {
			return fmt.Errorf("record %d has the wrong hash", record.Seq)
		}
	}
	return nil
}

// reasonOf returns the reason of a refusal: a name of ErrorReason without its prefix. Empty if there is no reason.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return ""
}
