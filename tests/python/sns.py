"""Publishes to SNS with boto3 and prints the answers: `sns.py ENDPOINT [QUEUES]`.

With QUEUES, the endpoint of SQS, it also prints the messages in subscribed queues as `arrived`.
"""

import json
import sys

from answers import Facts, client
from queues import arrived, subscribe

sns = client("sns", sys.argv[1])
sqs = client("sqs", sys.argv[2]) if len(sys.argv) > 2 else None
facts = Facts()
TITLE = "Kubernetes scanning & <more> \u202e \u00fc"
FINDING = json.dumps({"class_uid": 2004, "finding_info": {"uid": "0abc", "title": TITLE}}, ensure_ascii=False)
ATTRIBUTES = {
    "severity": {"DataType": "String", "StringValue": "Low"},
    "severity_id": {"DataType": "Number", "StringValue": "2"},
    "clusters": {"DataType": "String.Array", "StringValue": '["dev","prod"]'},
}


def publish(topic, message=FINDING, **members):
    """Publishes, and returns the members of the answer."""
    answered = sns.publish(TopicArn=topic, Message=message, **members)
    return sorted(set(answered) - {"ResponseMetadata"})


def attribute(name, kind, value):
    return {"MessageAttributes": {name: {"DataType": kind, "StringValue": value}}}


standard = sns.create_topic(Name="alerts")["TopicArn"]
fifo = sns.create_topic(Name="alerts.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
by_content = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
content = sns.create_topic(Name="content.fifo", Attributes=by_content)["TopicArn"]
ids = {"MessageGroupId": "0abc", "MessageDeduplicationId": "17-0abc-1"}
if sqs:
    queues = [subscribe(sns, sqs, topic) for topic in (standard, fifo)]

facts.add("a topic twice", lambda: sns.create_topic(Name="alerts")["TopicArn"] == standard)
facts.add("topics", lambda: sorted(topic["TopicArn"].split(":")[-1] for topic in sns.list_topics()["Topics"]))
facts.add("a fifo name without the attribute", lambda: bool(sns.create_topic(Name="other.fifo")))
facts.add("the attribute without a fifo name", lambda: bool(sns.create_topic(Name="other", Attributes=by_content)))
facts.add("is fifo", lambda: sns.get_topic_attributes(TopicArn=fifo)["Attributes"]["FifoTopic"])

facts.add("message", lambda: publish(standard))
facts.add("subject and attributes", lambda: publish(standard, Subject="Stakeout [Low]", MessageAttributes=ATTRIBUTES))
facts.add("fifo", lambda: publish(fifo, MessageAttributes=ATTRIBUTES, **ids))
first = sns.publish(TopicArn=fifo, Message="x", MessageGroupId="0abc", MessageDeduplicationId="again")["MessageId"]
again = sns.publish(TopicArn=fifo, Message="x", MessageGroupId="0abc", MessageDeduplicationId="again")["MessageId"]
facts.add("fifo: sent again", lambda: first == again)
facts.add("fifo: by content", lambda: publish(content, MessageGroupId="0abc"))

facts.add("no such topic", lambda: publish(standard + "-other"))
facts.add("another region's topic", lambda: publish(standard.replace("eu-west-1", "eu-central-1")))
facts.add("no arn", lambda: publish("alerts"))
facts.add("fifo: no group", lambda: publish(fifo, MessageDeduplicationId="1"))
facts.add("fifo: no deduplication id", lambda: publish(fifo, MessageGroupId="0abc"))
facts.add("fifo: a group with a space", lambda: publish(fifo, MessageGroupId="a b", MessageDeduplicationId="1"))
long = {"MessageGroupId": "a", "MessageDeduplicationId": "x" * 129}
facts.add("fifo: a deduplication id of 129", lambda: publish(fifo, **long))
facts.add("standard: a deduplication id", lambda: publish(standard, MessageDeduplicationId="1"))
facts.add("empty message", lambda: publish(standard, message=""))
facts.add("message of 262145", lambda: publish(standard, message="x" * 262_145))
facts.add("message of 262144", lambda: publish(standard, message="x" * 262_144))
full = {"message": "x" * 262_144, **attribute("a", "String", "b")}
facts.add("with attributes over 262144", lambda: publish(standard, **full))
facts.add("subject of 99", lambda: publish(standard, Subject="s" * 99))
facts.add("subject of 101", lambda: publish(standard, Subject="s" * 101))
facts.add("subject of two lines", lambda: publish(standard, Subject="a\nb"))
facts.add("subject that is not ascii", lambda: publish(standard, Subject="\u00fcber"))
facts.add("attribute without a value", lambda: publish(standard, **attribute("a", "String", "")))
facts.add("attribute of no type", lambda: publish(standard, **attribute("a", "Text", "b")))
facts.add("attribute that is no number", lambda: publish(standard, **attribute("a", "Number", "two")))
facts.add("attribute with a space in its name", lambda: publish(standard, **attribute("a b", "String", "c")))
eleven = {f"a{n}": {"DataType": "String", "StringValue": "b"} for n in range(11)}
facts.add("eleven attributes", lambda: publish(standard, MessageAttributes=eleven))
facts.add("json structure", lambda: publish(standard, message='{"default":"x"}', MessageStructure="json"))
facts.add("json structure without default", lambda: publish(standard, message='{"sqs":"x"}', MessageStructure="json"))
if sqs:
    facts.add("arrived", lambda: [arrived(sqs, queue) for queue in queues])
facts.print()
