"""The scenario on LocalStack or moto. Each step is one call of this script:

    scenario.py ENDPOINT prepare                        create log group, stream, topic, and a subscribed queue
    scenario.py ENDPOINT put RECORDING BEGIN            add a recorded audit log, moved in time to begin at BEGIN
    scenario.py ENDPOINT receive                        print the new messages of the queue, one per line

Region and credentials come from the environment; both servers accept any.
"""

import gzip
import json
import sys
from datetime import datetime

import boto3
from botocore.exceptions import ClientError

GROUP = "/aws/eks/scenario/cluster"
STREAM = "kube-apiserver-audit-0a1b2c3d4e5f60718293a4b5c6d7e8f9"
NAME = "stakeout-findings"
# A call accepts 10,000 events and 1 MiB; the recorded events have about 1 KB each.
BATCH = 400
# The times in an audit event. They move together, so that the event stays consistent.
TIMES = ["requestReceivedTimestamp", "stageTimestamp"]


def prepare(logs, sns, sqs):
    """Creates missing resources of the scenario, and prints their names as JSON."""
    for make in [
        lambda: logs.create_log_group(logGroupName=GROUP),
        lambda: logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM),
    ]:
        try:
            make()
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
    topic = sns.create_topic(Name=NAME)["TopicArn"]
    queue = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    json.dump({"log_group": GROUP, "topic_arn": topic}, sys.stdout)


def put(logs, recording, begin):
    """Puts a recording into the log group and prints how many events it has."""
    with gzip.open(recording, "rt", encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    shift = moment(begin) - min(moment(event["stageTimestamp"]) for event in events)
    moved = sorted((moved_event(event, shift) for event in events), key=lambda event: event["timestamp"])
    for start in range(0, len(moved), BATCH):
        batch = moved[start : start + BATCH]
        answer = logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=batch)
        rejected = answer.get("rejectedLogEventsInfo")
        assert not rejected, f"the log group rejected events: {rejected}"
    print(len(moved))


def moved_event(event, shift):
    """Returns an audit event for CloudWatch Logs, `shift` later than it was recorded."""
    for name in TIMES:
        later = (moment(event[name]) + shift).isoformat(timespec="microseconds")
        event[name] = later.replace("+00:00", "Z")
    timestamp_ms = round(moment(event["stageTimestamp"]).timestamp() * 1000)
    return {"timestamp": timestamp_ms, "message": json.dumps(event, ensure_ascii=False, separators=(",", ":"))}


def moment(text):
    """Reads RFC 3339 in UTC."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def receive(sqs):
    """Receives all messages of the queue and prints their findings, one per line."""
    queue = sqs.get_queue_url(QueueName=NAME)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            print(json.loads(message["Body"])["Message"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def main(endpoint, step, *args):
    client = lambda service: boto3.client(service, endpoint_url=endpoint)
    match step, args:
        case "prepare", []:
            prepare(client("logs"), client("sns"), client("sqs"))
        case "put", [recording, begin]:
            put(client("logs"), recording, begin)
        case "receive", []:
            receive(client("sqs"))
        case _:
            sys.exit(__doc__)


main(*sys.argv[1:])
