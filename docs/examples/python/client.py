"""Pushes to users and receives what clients send, over Halley's gRPC API.

.venv/bin/python client.py push --mids 1,2 --operation 1000 --count 3 hello
.venv/bin/python client.py options --mids 1
.venv/bin/python client.py schedule --mids 1
.venv/bin/python client.py receive --group my-service --count 10
"""

import argparse
import json
import queue
import sys
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent / "gen"))
from halley.push.v1 import push_pb2, push_pb2_grpc  # noqa: E402
from options import options, schedule  # noqa: E402


def push(channel, metadata, args):
    """Sends numbered messages over one stream, which keeps their order, and prints the answer to each."""
    target = push_pb2.Target(users=push_pb2.Users(mids=[int(mid) for mid in args.mids.split(",")]))
    requests = (
        push_pb2.PushStreamRequest(
            seq=i,
            push=push_pb2.PushRequest(
                target=target, operation=args.operation, body=f"{' '.join(args.text)} {i}".encode()
            ),
        )
        for i in range(args.count)
    )
    for reply in push_pb2_grpc.PushServiceStub(channel).PushStream(requests, metadata=metadata, timeout=60):
        result = reply.result
        print(reply.seq, push_pb2.Outcome.Name(result.outcome), result.id, result.message, flush=True)


def receive(channel, metadata, args):
    """Prints what clients send as JSON lines and acknowledges each once it is printed."""
    requests = queue.SimpleQueue()
    requests.put(push_pb2.ReceiveRequest(group=args.group))
    stream = push_pb2_grpc.UpstreamServiceStub(channel).Receive(iter(requests.get, None), metadata=metadata, timeout=60)
    received = 0
    for upstream in stream:
        if received == args.count:
            # Was on its way already; unacknowledged, it comes again to the next that receives.
            continue
        received += 1
        line = {
            "mid": str(upstream.mid),
            "key": upstream.key,
            "room": upstream.room_id,
            "op": upstream.proto.op,
            "body": upstream.proto.body.decode(),
        }
        print(json.dumps(line), flush=True)
        requests.put(push_pb2.ReceiveRequest(ack_ids=[upstream.id]))
        if received == args.count:
            # No more requests; the stream ends once the server has taken the acknowledgements.
            requests.put(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["push", "options", "schedule", "receive"])
    parser.add_argument("text", nargs="*", help="push: the body")
    parser.add_argument("--address", default="127.0.0.1:3119", help="logic's gRPC address")
    parser.add_argument("--api-key", help="not needed on loopback with auth.mode open")
    parser.add_argument("--mids", help="push: users, separated by commas; options and schedule: one user")
    parser.add_argument("--operation", type=int, default=1000, help="push: the operation of the frame")
    parser.add_argument("--group", default="example-python", help="receive: the consumer group")
    parser.add_argument("--count", type=int, default=1, help="how many to push, or to receive before it ends")
    args = parser.parse_intermixed_args()
    metadata = [("authorization", f"Bearer {args.api_key}")] if args.api_key else None
    with grpc.insecure_channel(args.address) as channel:
        {"push": push, "options": options, "schedule": schedule, "receive": receive}[args.command](channel, metadata, args)


if __name__ == "__main__":
    main()
