"""Topics with subscribed queues, on a server with SNS and SQS.

`queues.py ENDPOINT make` prints the ARNs of a standard and a FIFO topic, `queues.py ENDPOINT read` the messages.
"""

import json
import sys

from answers import client

FIFO = {"FifoTopic": "true"}
TOPICS = {"stakeout": {}, "stakeout.fifo": FIFO}


def subscribe(sns, sqs, topic):
    """Creates a queue with the name and kind of the topic, subscribes it, and returns its URL."""
    name = topic.split(":")[-1]
    attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return queue


def arrived(sqs, queue):
    """Receives all messages of a queue: subject, message, attributes, group and deduplication id of each."""
    messages = []
    while got := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1, AttributeNames=["All"]).get("Messages"):
        envelope, around = json.loads(got[0]["Body"]), got[0]["Attributes"]
        attributes = envelope.get("MessageAttributes", {})
        messages.append(
            {
                "subject": envelope.get("Subject"),
                "message": envelope["Message"],
                "attributes": {name: [value["Type"], value["Value"]] for name, value in attributes.items()},
                "group": around.get("MessageGroupId"),
                "dedup": around.get("MessageDeduplicationId"),
            }
        )
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=got[0]["ReceiptHandle"])
    return messages


def main(endpoint, what):
    sns, sqs = client("sns", endpoint), client("sqs", endpoint)
    if what == "make":
        topics = [sns.create_topic(Name=name, Attributes=kind)["TopicArn"] for name, kind in TOPICS.items()]
        for topic in topics:
            subscribe(sns, sqs, topic)
        return topics
    return [arrived(sqs, sqs.get_queue_url(QueueName=name)["QueueUrl"]) for name in TOPICS]


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
