// A tool worker that uses only the generated code: serves one tool, which returns its text.
//
//	go run ./smoke/worker [--url URL] [--tool NAME] [--jobs N]
//
// URL is the address of the server: by default ABSTRACTRUNTIME_URL, or http://127.0.0.1:7400 if that is not set. The
// worker stops after N jobs. After SIGTERM or SIGINT it finishes its jobs, then stops. docs/worker-protocol.md
// describes the stream. Left out: heartbeats, which only jobs with a heartbeat_timeout need, and pauses, which a
// worker may ignore.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/abstractruntime/abstractruntime/sdk-go/abstractruntime/v1"
)

const (
	// How many jobs the worker has at once, including those whose results are not acknowledged.
	concurrency = 8
	// How long the server may take to send its welcome, which then says how long the server may be silent.
	welcomeTimeout = 10 * time.Second
	// The pause before the next connection is random, up to a bound that doubles from the minimum to the maximum.
	backoffMin = 200 * time.Millisecond
	backoffMax = 10 * time.Second

	inputSchema = `{"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}`
)

// echo is the tool. A tool that changes a system should pass it the key: a call may be repeated, with the same key.
func echo(_ context.Context, payload []byte, idempotencyKey string) (any, error) {
	var arguments struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(payload, &arguments); err != nil || arguments.Text == nil {
		return nil, errArguments
	}
	return map[string]string{"text": *arguments.Text}, nil
}

// errArguments means that the arguments do not match the tool's schema, so another attempt is useless.
var errArguments = errors.New("text must be a string")

// worker is a worker across all its connections: its jobs outlive the stream on which they were offered. Only one
// goroutine uses it.
type worker struct {
	sessionID string
	tool      string
	// How many jobs it still takes, including those that it has.
	remaining int
	// Its jobs, by token, until their result is acknowledged or the job is lost.
	jobs    map[string]*pb.Job
	running map[string]context.CancelFunc
	results map[string]*pb.JobResult
	// The results of jobs that have run.
	done chan *pb.JobResult
	// Closed when the worker should take no more jobs; nil once it has stopped taking them.
	stop <-chan struct{}

	// For the current connection. credit is how many more jobs the server may offer.
	stream grpc.BidiStreamingClient[pb.WorkRequest, pb.WorkResponse]
	credit int
}

func main() {
	log.SetFlags(0)
	serverURL := flag.String("url", cmp.Or(os.Getenv("ABSTRACTRUNTIME_URL"), "http://127.0.0.1:7400"), "the server")
	tool := flag.String("tool", "smoke.echo", "the tool's name")
	jobs := flag.Int("jobs", math.MaxInt, "after how many jobs to say goodbye")
	flag.Parse()
	server, err := url.Parse(*serverURL)
	if err != nil {
		log.Fatal(err)
	}
	stop, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	w := &worker{
		sessionID: rand.Text(),
		tool:      *tool,
		remaining: *jobs,
		jobs:      map[string]*pb.Job{},
		running:   map[string]context.CancelFunc{},
		results:   map[string]*pb.JobResult{},
		done:      make(chan *pb.JobResult),
		stop:      stop.Done(),
	}
	if err := w.serve(server.Host); err != nil {
		log.Fatal(err)
	}
}

// serve connects, and reconnects until the worker has said goodbye.
func (w *worker) serve(host string) error {
	backoff := backoffMin
	for !w.finished() {
		welcomed, err := w.connect(host)
		switch status.Code(err) {
		case codes.InvalidArgument, codes.Aborted:
			// A retry would repeat these: a frame that breaks the protocol, and another worker with the same session id.
			return err
		}
		if w.finished() {
			break
		}
		log.Printf("the stream broke: %v", err)
		if welcomed {
			backoff = backoffMin
		}
		select {
		case <-time.After(mathrand.N(backoff)):
		case <-w.stop:
			w.drain()
		}
		backoff = min(2*backoff, backoffMax)
	}
	return nil
}

// connect serves over one connection until it ends, and returns whether the server sent its welcome.
func (w *worker) connect(host string) (welcomed bool, err error) {
	connection, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false, err
	}
	defer connection.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	silenceTimeout := welcomeTimeout
	watchdog := time.AfterFunc(silenceTimeout, cancel)
	defer watchdog.Stop()
	if w.stream, err = pb.NewWorkerServiceClient(connection).Work(ctx); err != nil {
		return false, err
	}
	w.credit = 0
	w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Hello{Hello: &pb.WorkerHello{
		WorkerSessionId: w.sessionID,
		Name:            "smoke-go",
		Tools: []*pb.Tool{{
			Name:        w.tool,
			Version:     "1",
			Description: "Returns its text.",
			InputSchema: []byte(inputSchema),
			Delivery:    pb.Delivery_DELIVERY_AT_LEAST_ONCE,
		}},
		HeldTokens: slices.Collect(maps.Keys(w.jobs)),
	}}})

	frames := make(chan *pb.WorkResponse)
	var broken error // Why frames ended: written before frames is closed.
	go func() {
		defer close(frames)
		for {
			var frame *pb.WorkResponse
			if frame, broken = w.stream.Recv(); broken != nil {
				return
			}
			select {
			case frames <- frame:
			case <-ctx.Done():
				return
			}
		}
	}()

	for left := false; ; {
		select {
		case frame, ok := <-frames:
			if !ok {
				return welcomed, broken
			}
			if welcome := frame.GetWelcome(); welcome != nil {
				welcomed = true
				silenceTimeout = welcome.SilenceTimeout.AsDuration()
			}
			watchdog.Reset(silenceTimeout)
			if !left {
				w.take(frame)
			}
		case result := <-w.done:
			if _, held := w.jobs[result.Token]; held {
				w.results[result.Token] = result
				w.sendResults(result)
			}
		case <-w.stop:
			w.drain()
			w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Drain{Drain: &pb.WorkerDrain{}}})
		}
		if left {
			continue
		}
		w.grantCredit()
		if left = w.finished(); left {
			w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Goodbye{Goodbye: &pb.WorkerGoodbye{}}})
			_ = w.stream.CloseSend()
		}
	}
}

// take handles one frame from the server. It ignores unknown frames.
func (w *worker) take(response *pb.WorkResponse) {
	switch frame := response.Frame.(type) {
	case *pb.WorkResponse_Welcome:
		// The previous connection may have lost these results. The server recognises those that it already has.
		if len(w.results) > 0 {
			w.sendResults(slices.Collect(maps.Values(w.results))...)
		}
	case *pb.WorkResponse_Offer:
		w.credit -= len(frame.Offer.Jobs)
		var tokens []string
		for _, job := range frame.Offer.Jobs {
			tokens = append(tokens, job.Token)
		}
		w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Accept{Accept: &pb.JobAccept{Tokens: tokens}}})
		for _, job := range frame.Offer.Jobs {
			w.jobs[job.Token] = job
			if job.Delivery != pb.Delivery_DELIVERY_AT_MOST_ONCE {
				w.begin(job)
			}
		}
	case *pb.WorkResponse_Start:
		for _, token := range frame.Start.Tokens {
			if job, held := w.jobs[token]; held {
				w.begin(job)
			}
		}
	case *pb.WorkResponse_ResultAck:
		for _, ack := range frame.ResultAck.Acks {
			if _, held := w.jobs[ack.Token]; held {
				w.forget(ack.Token)
				w.remaining = max(0, w.remaining-1)
				fmt.Println(strings.TrimSpace(ack.Status.String() + " " + ack.Reason))
			}
		}
	case *pb.WorkResponse_Cancel:
		for _, token := range frame.Cancel.Tokens {
			w.forget(token)
		}
	case *pb.WorkResponse_LeaseLost:
		for _, token := range frame.LeaseLost.Tokens {
			w.forget(token)
		}
	case *pb.WorkResponse_Ping:
		w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Pong{Pong: &pb.WorkerPong{Number: frame.Ping.Number}}})
	}
}

// begin runs a job, once.
func (w *worker) begin(job *pb.Job) {
	if _, begun := w.running[job.Token]; begun {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.running[job.Token] = cancel
	go func() {
		result := &pb.JobResult{Token: job.Token}
		output, err := echo(ctx, job.Payload, job.IdempotencyKey)
		var text []byte
		if err == nil {
			text, err = json.Marshal(output)
		}
		if err == nil {
			result.Outcome = &pb.JobResult_Output{Output: text}
		} else {
			failure := &pb.JobFailure{Message: err.Error(), NonRetryable: errors.Is(err, errArguments)}
			result.Outcome = &pb.JobResult_Failure{Failure: failure}
		}
		w.done <- result
	}()
}

func (w *worker) forget(token string) {
	if cancel, begun := w.running[token]; begun {
		cancel()
	}
	delete(w.running, token)
	delete(w.jobs, token)
	delete(w.results, token)
}

func (w *worker) grantCredit() {
	more := min(concurrency, w.remaining) - len(w.jobs) - w.credit
	if more > 0 {
		w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Credit{Credit: &pb.WorkerCredit{Jobs: int32(more)}}})
		w.credit += more
	}
}

// drain takes no more jobs. The worker says goodbye when its jobs are done.
func (w *worker) drain() {
	w.remaining = 0
	w.stop = nil
}

func (w *worker) finished() bool {
	return w.remaining == 0 && len(w.jobs) == 0
}

func (w *worker) sendResults(results ...*pb.JobResult) {
	w.send(&pb.WorkRequest{Frame: &pb.WorkRequest_Result{Result: &pb.JobResults{Results: results}}})
}

// send sends a frame. If the stream breaks, Recv returns the reason.
func (w *worker) send(frame *pb.WorkRequest) {
	_ = w.stream.Send(frame)
}
