// Pushes to users and receives what clients send, over Halley's gRPC API.
//
//	go run . push --mids 1,2 --operation 1000 --count 3 hello
//	go run . options --mids 1
//	go run . schedule --mids 1
//	go run . receive --group my-service --count 10
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pushv1 "halley.im/protos/halley/push/v1"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: push | options | schedule | receive")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	address := flags.String("address", "127.0.0.1:3119", "logic's gRPC address")
	apiKey := flags.String("api-key", "", "API key; not needed on loopback with auth.mode open")
	mids := flags.String("mids", "", "push: users, separated by commas; options and schedule: one user")
	operation := flags.Int("operation", 1000, "push: the operation of the frame")
	group := flags.String("group", "example-go", "receive: the consumer group")
	count := flags.Int("count", 1, "how many messages to push, or to receive before it ends")
	_ = flags.Parse(os.Args[2:])

	conn, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if *apiKey != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+*apiKey)
	}

	switch os.Args[1] {
	case "push":
		err = push(ctx, conn, *mids, int32(*operation), *count, strings.Join(flags.Args(), " "))
	case "options":
		err = options(ctx, conn, first(*mids), int32(*operation))
	case "schedule":
		err = schedule(ctx, conn, first(*mids), int32(*operation))
	case "receive":
		err = receive(ctx, conn, *group, *count)
	default:
		log.Fatalf("unknown command %q: push | options | schedule | receive", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// first is the first of the user ids.
func first(mids string) int64 {
	mid, err := strconv.ParseInt(strings.Split(mids, ",")[0], 10, 64)
	if err != nil {
		log.Fatalf("--mids: %v", err)
	}
	return mid
}

// push sends count numbered messages over one stream, which keeps their order, and prints the answer to each.
func push(ctx context.Context, conn *grpc.ClientConn, mids string, operation int32, count int, text string) error {
	users := &pushv1.Users{}
	for _, mid := range strings.Split(mids, ",") {
		n, err := strconv.ParseInt(mid, 10, 64)
		if err != nil {
			return fmt.Errorf("--mids: %w", err)
		}
		users.Mids = append(users.Mids, n)
	}
	stream, err := pushv1.NewPushServiceClient(conn).PushStream(ctx)
	if err != nil {
		return err
	}
	for i := range count {
		if err := stream.Send(&pushv1.PushStreamRequest{
			Seq: int64(i),
			Push: &pushv1.PushRequest{
				Target:    &pushv1.Target{Target: &pushv1.Target_Users{Users: users}},
				Operation: operation,
				Body:      fmt.Appendf(nil, "%s %d", text, i),
			},
		}); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for range count {
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		result := reply.GetResult()
		fmt.Println(reply.GetSeq(), result.GetOutcome(), result.GetId(), result.GetMessage())
	}
	return nil
}

// receive prints what clients send as JSON lines and acknowledges each once it is printed.
func receive(ctx context.Context, conn *grpc.ClientConn, group string, count int) error {
	stream, err := pushv1.NewUpstreamServiceClient(conn).Receive(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pushv1.ReceiveRequest{Group: group}); err != nil {
		return err
	}
	for range count {
		upstream, err := stream.Recv()
		if err != nil {
			return err
		}
		line, err := json.Marshal(map[string]any{
			"mid":  strconv.FormatInt(upstream.GetMid(), 10),
			"key":  upstream.GetKey(),
			"room": upstream.GetRoomId(),
			"op":   upstream.GetProto().GetOp(),
			"body": string(upstream.GetProto().GetBody()),
		})
		if err != nil {
			return err
		}
		fmt.Println(string(line))
		if err := stream.Send(&pushv1.ReceiveRequest{AckIds: []string{upstream.GetId()}}); err != nil {
			return err
		}
	}
	// Wait for the server to end the stream: by then it has taken the acknowledgements.
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
}
