"""Each option of a push, by the name that docs/push-options.md has for it."""

import time

from halley.push.v1 import push_pb2, push_pb2_grpc, schedule_pb2, schedule_pb2_grpc


def set_id(push):
    push.id = "order-77"


def set_class(push):
    setattr(push, "class", push_pb2.DELIVERY_CLASS_EPHEMERAL)  # class is a word of Python


def set_delay(push):
    push.delay_ms = 15 * 60 * 1000


def set_at(push):
    push.deliver_at_ms = int((time.time() + 2 * 3600) * 1000)


def set_expire(push):
    push.expire_at_ms = int((time.time() + 3600) * 1000)


def set_collapse(push):
    push.collapse_key = "score"


def set_retention(push):
    push.retention_ms = 24 * 3600 * 1000


def set_bulk(push):
    push.priority = push_pb2.PRIORITY_BULK


def set_group(push):
    push.group.CopyFrom(push_pb2.Group(key="likes-of-post-7", window_ms=10_000, max_count=100))


OPTIONS = {
    "id": set_id,
    "class": set_class,
    "delay": set_delay,
    "at": set_at,
    "expire": set_expire,
    "collapse": set_collapse,
    "retention": set_retention,
    "bulk": set_bulk,
    "group": set_group,
}


def options(channel, metadata, args):
    """Pushes once with each option, and prints the option, the message's id and when it will be delivered."""
    client = push_pb2_grpc.PushServiceStub(channel)
    mid = int(args.mids)
    for name, set_option in OPTIONS.items():
        push = push_pb2.PushRequest(
            target=push_pb2.Target(users=push_pb2.Users(mids=[mid])),
            operation=args.operation,
            body=name.encode(),
        )
        set_option(push)
        reply = client.Push(push, metadata=metadata, timeout=10)
        print(name, reply.id, reply.deliver_at_ms, flush=True)


def schedule(channel, metadata, args):
    """Pushes with a delay and cancels that; then it makes a recurring push, and ends it."""
    push = push_pb2.PushRequest(
        target=push_pb2.Target(users=push_pb2.Users(mids=[int(args.mids)])),
        operation=args.operation,
        body=b"your table is ready",
        delay_ms=15 * 60 * 1000,
    )
    reply = push_pb2_grpc.PushServiceStub(channel).Push(push, metadata=metadata, timeout=10)

    schedules = schedule_pb2_grpc.ScheduleServiceStub(channel)
    cancelled = schedules.Cancel(schedule_pb2.CancelRequest(id=reply.id), metadata=metadata, timeout=10)
    print(reply.id, schedule_pb2.ScheduleState.Name(cancelled.state), flush=True)

    recurring = schedules.PutRecurring(
        schedule_pb2.PutRecurringRequest(
            name="stand-up",
            cron="55 8 * * 1-5",
            time_zone="Europe/Berlin",
            push=push_pb2.PushRequest(
                target=push_pb2.Target(room="live://team"),
                operation=args.operation,
                body=b"stand-up in five minutes",
            ),
            expire_after_ms=5 * 60 * 1000,
        ),
        metadata=metadata,
        timeout=10,
    )
    print(recurring.name, recurring.next_at_ms, flush=True)
    schedules.DeleteRecurring(schedule_pb2.DeleteRecurringRequest(name="stand-up"), metadata=metadata, timeout=10)
