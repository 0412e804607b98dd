package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	pushv1 "halley.im/protos/halley/push/v1"
)

// optionsOf are the options of a push, each by the name that docs/push-options.md has for it.
var optionsOf = []struct {
	name string
	set  func(push *pushv1.PushRequest)
}{
	{"id", func(push *pushv1.PushRequest) {
		push.Id = "order-77"
	}},
	{"class", func(push *pushv1.PushRequest) {
		push.Class = pushv1.DeliveryClass_DELIVERY_CLASS_EPHEMERAL
	}},
	{"delay", func(push *pushv1.PushRequest) {
		push.DelayMs = (15 * time.Minute).Milliseconds()
	}},
	{"at", func(push *pushv1.PushRequest) {
		push.DeliverAtMs = time.Now().Add(2 * time.Hour).UnixMilli()
	}},
	{"expire", func(push *pushv1.PushRequest) {
		push.ExpireAtMs = time.Now().Add(time.Hour).UnixMilli()
	}},
	{"collapse", func(push *pushv1.PushRequest) {
		push.CollapseKey = "score"
	}},
	{"retention", func(push *pushv1.PushRequest) {
		push.RetentionMs = (24 * time.Hour).Milliseconds()
	}},
	{"bulk", func(push *pushv1.PushRequest) {
		push.Priority = pushv1.Priority_PRIORITY_BULK
	}},
	{"group", func(push *pushv1.PushRequest) {
		push.Group = &pushv1.Group{Key: "likes-of-post-7", WindowMs: 10_000, MaxCount: 100}
	}},
}

// options pushes once with each option, and prints the option, the message's id and when it will be delivered.
func options(ctx context.Context, conn *grpc.ClientConn, mid int64, operation int32) error {
	client := pushv1.NewPushServiceClient(conn)
	for _, option := range optionsOf {
		push := &pushv1.PushRequest{
			Target:    &pushv1.Target{Target: &pushv1.Target_Users{Users: &pushv1.Users{Mids: []int64{mid}}}},
			Operation: operation,
			Body:      []byte(option.name),
		}
		option.set(push)
		reply, err := client.Push(ctx, push)
		if err != nil {
			return fmt.Errorf("%s: %w", option.name, err)
		}
		fmt.Println(option.name, reply.GetId(), reply.GetDeliverAtMs())
	}
	return nil
}

// schedule pushes with a delay and cancels that; then it makes a recurring push, and ends it.
func schedule(ctx context.Context, conn *grpc.ClientConn, mid int64, operation int32) error {
	push := &pushv1.PushRequest{
		Target:    &pushv1.Target{Target: &pushv1.Target_Users{Users: &pushv1.Users{Mids: []int64{mid}}}},
		Operation: operation,
		Body:      []byte("your table is ready"),
		DelayMs:   (15 * time.Minute).Milliseconds(),
	}
	reply, err := pushv1.NewPushServiceClient(conn).Push(ctx, push)
	if err != nil {
		return err
	}

	schedules := pushv1.NewScheduleServiceClient(conn)
	cancelled, err := schedules.Cancel(ctx, &pushv1.CancelRequest{Id: reply.GetId()})
	if err != nil {
		return err
	}
	fmt.Println(reply.GetId(), cancelled.GetState())

	recurring, err := schedules.PutRecurring(ctx, &pushv1.PutRecurringRequest{
		Name:     "stand-up",
		Cron:     "55 8 * * 1-5",
		TimeZone: "Europe/Berlin",
		Push: &pushv1.PushRequest{
			Target:    &pushv1.Target{Target: &pushv1.Target_Room{Room: "live://team"}},
			Operation: operation,
			Body:      []byte("stand-up in five minutes"),
		},
		ExpireAfterMs: (5 * time.Minute).Milliseconds(),
	})
	if err != nil {
		return err
	}
	fmt.Println(recurring.GetName(), recurring.GetNextAtMs())
	_, err = schedules.DeleteRecurring(ctx, &pushv1.DeleteRecurringRequest{Name: "stand-up"})
	return err
}
