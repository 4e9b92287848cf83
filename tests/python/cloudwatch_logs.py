"""Fills and searches CloudWatch Logs with boto3, and prints the answers: `cloudwatch_logs.py ENDPOINT`.

The result of a search is its difference from the events that Python selects: [missing, too many].
"""

import json
import random
import sys
import time

from answers import Facts, client

GROUP = "/aws/eks/prod/cluster"
STREAMS = ["kube-apiserver-audit-1", "kube-apiserver-audit-2", "kube-apiserver-audit-3", "authenticator-1"]
HOUR_MS = 3_600_000
NOW_MS = int(time.time() * 1000)
START_MS = NOW_MS - HOUR_MS
ODD_AGENT = 'a "quoted" b\\c'

logs = client("logs", sys.argv[1])
facts = Facts()


def events():
    """Returns events as (stream, time, text), the same ones each time; every seventh is cut."""
    chance = random.Random(7)
    made = []
    for n in range(240):
        event = {"n": n, "verb": chance.choice(["list", "get", "create", "List"])}
        event["responseStatus"] = {"code": chance.choice([200, 201, 401, 403, 403, 404, "403"])}
        event["user"] = {"username": chance.choice(["system:anonymous", "admin", "", None])}
        event["userAgent"] = chance.choice(["kubectl/v1.33", "kube-probe/1.33", "curl/8", ODD_AGENT])
        event["sourceIPs"] = chance.sample(["203.0.113.7", "198.51.100.9", "10.0.0.1"], chance.randint(1, 3))
        if n % 3:
            event["objectRef"] = {"resource": chance.choice(["pods", "secrets"]), "namespace": "default"}
        text = json.dumps(event, separators=(",", ":"))
        if n % 7 == 0:
            text = text[: len(text) // 2] + "[Truncated...]"
        made.append((chance.choice(STREAMS), START_MS + chance.randint(0, 1_000_000), text))
    return made


EVENTS = events()


def at(event, path):
    """Returns the value at a path, or None."""
    for step in path.split("."):
        event = event.get(step) if isinstance(event, dict) else None
    return event


def code(event):
    return at(event, "responseStatus.code")


# Each pattern, and the same in Python over an event; a cut message is no event.
PATTERNS = {
    "{ $.responseStatus.code = 403 }": lambda e: code(e) == 403,
    '{ $.responseStatus.code = "403" }': lambda e: code(e) == "403",
    '{ ($.responseStatus.code = 403) || ($.user.username = "system:anonymous") }': lambda e: (
        code(e) == 403 or at(e, "user.username") == "system:anonymous"
    ),
    '{ $.verb = "list" || $.verb = "get" && $.responseStatus.code = 404 }': lambda e: (
        e["verb"] == "list" or (e["verb"] == "get" and code(e) == 404)
    ),
    '{ ($.verb = "list") && ($.objectRef.resource = "pods") }': lambda e: (
        e["verb"] == "list" and at(e, "objectRef.resource") == "pods"
    ),
    "{ $.userAgent = %^kube% }": lambda e: e["userAgent"].startswith("kube"),
    '{ $.userAgent = "a \\"quoted\\" b\\\\c" }': lambda e: e["userAgent"] == ODD_AGENT,
    '{ $.sourceIPs[*] = "203.0.113.7" }': lambda e: "203.0.113.7" in e["sourceIPs"],
    "{ $.sourceIPs[*] = %^203.0.113.7$|^2001.db8.% }": lambda e: "203.0.113.7" in e["sourceIPs"],
}
# Each phrase, and the text that it searches.
PHRASES = {
    '"[Truncated...]"': "[Truncated...]",
    '"kubectl/v1.33"': "kubectl/v1.33",
    '"KUBECTL/v1.33"': "KUBECTL/v1.33",
    '"\\"verb\\":\\"list\\""': '"verb":"list"',
}


def put(stream, batch, group=GROUP):
    """Puts (time, text) pairs in order of time, and returns what was rejected."""
    batch = [{"timestamp": time_ms, "message": text} for time_ms, text in batch]
    answered = logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
    return answered.get("rejectedLogEventsInfo", {})


def fill():
    logs.create_log_group(logGroupName=GROUP)
    rejected = {}
    for stream in STREAMS:
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        own = sorted((time_ms, text) for its, time_ms, text in EVENTS if its == stream)
        rejected.update(put(stream, own))
    return rejected


def pages(**search):
    search.setdefault("logGroupName", GROUP)
    # boto3 refuses members without a value.
    search = {name: value for name, value in search.items() if value is not None}
    return list(logs.get_paginator("filter_log_events").paginate(**search))


def searched(expected, **search):
    """Returns [missing, too many] of a search, comparing stream, time and text."""
    events = [event for page in pages(**search) for event in page["events"]]
    found = [(event["logStreamName"], event["timestamp"], event["message"]) for event in events]
    wanted = [event for event in EVENTS if expected(*event)]
    missing = [event for event in wanted if event not in found]
    extra = len(found) - (len(wanted) - len(missing))
    return [len(missing), extra]


def is_event(text):
    return not text.endswith("[Truncated...]")


def search_facts():
    facts.add("everything", lambda: searched(lambda *_: True))
    inside = sorted(time_ms for _, time_ms, _ in EVENTS)[40:160]
    facts.add(
        "a window with both ends",
        lambda: searched(lambda _, t, __: inside[0] <= t <= inside[-1], startTime=inside[0], endTime=inside[-1]),
    )
    prefix = "kube-apiserver-audit"
    facts.add("a stream prefix", lambda: searched(lambda s, *_: s.startswith(prefix), logStreamNamePrefix=prefix))
    facts.add("stream names", lambda: searched(lambda s, *_: s in STREAMS[1:3], logStreamNames=STREAMS[1:3]))
    facts.add("pages of 50", lambda: [len(page["events"]) for page in pages(limit=50)])
    by_arn = {"logGroupName": None, "logGroupIdentifier": group_arn()}
    facts.add("a group by its arn", lambda: searched(lambda *_: True, **by_arn))
    ids = lambda: [event["eventId"] for page in pages() for event in page["events"]]
    facts.add("ids are unique", lambda: len(set(ids())) == len(EVENTS))
    facts.add("ids stay", lambda: sorted(ids()) == sorted(ids()))
    for pattern, fits in PATTERNS.items():
        expected = lambda _, __, text, fits=fits: is_event(text) and fits(json.loads(text))
        facts.add(f"pattern {pattern}", lambda: searched(expected, filterPattern=pattern))
    for pattern, phrase in PHRASES.items():
        facts.add(f"phrase {pattern}", lambda: searched(lambda _, __, text: phrase in text, filterPattern=pattern))


def group_arn():
    return logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"][0]["logGroupArn"]


def search_refusals():
    find = logs.filter_log_events
    facts.add("no such group", lambda: find(logGroupName="/aws/eks/other/cluster"))
    facts.add("no such stream", lambda: len(find(logGroupName=GROUP, logStreamNames=["other"])["events"]))
    facts.add("an unknown token", lambda: len(find(logGroupName=GROUP, nextToken="x" * 64)["events"]))
    facts.add("a limit of 10001", lambda: len(find(logGroupName=GROUP, limit=10_001)["events"]))
    facts.add("an end before the start", lambda: len(find(logGroupName=GROUP, startTime=2, endTime=1)["events"]))
    both = {"logStreamNames": STREAMS[:1], "logStreamNamePrefix": "kube"}
    facts.add("names and a prefix", lambda: len(find(logGroupName=GROUP, **both)["events"]))
    for pattern in ["{ $.verb = }", "{ $.verb == 1 }", "{ $.verb = system:anonymous }", '"not closed']:
        facts.add(f"malformed {pattern}", lambda: len(find(logGroupName=GROUP, filterPattern=pattern)["events"]))
    facts.add("a pattern of 1025", lambda: len(find(logGroupName=GROUP, filterPattern="x" * 1025)["events"]))


def write_facts():
    stream, at_ms = STREAMS[0], NOW_MS - 1_000
    old, new = NOW_MS - 15 * 24 * HOUR_MS, NOW_MS + 3 * HOUR_MS
    logs.create_log_group(logGroupName="limits")
    logs.create_log_stream(logGroupName="limits", logStreamName=stream)
    batch = lambda *events: put(stream, events, group="limits")
    mixed = [(old, "a"), (old + 1, "b"), (at_ms, "c"), (new, "d"), (new, "e")]
    facts.add("put: too old and too new", lambda: batch(*mixed))
    facts.add("put: nothing but old", lambda: batch((old, "a"), (old + 1, "b")))
    facts.add("put: out of order", lambda: batch((at_ms, "a"), (at_ms - 1, "b")))
    facts.add("put: over 24 hours", lambda: batch((at_ms - 25 * HOUR_MS, "a"), (at_ms, "b")))
    facts.add("put: exactly 24 hours", lambda: batch((at_ms - 24 * HOUR_MS, "a"), (at_ms, "b")))
    facts.add("put: 10001 events", lambda: batch(*[(at_ms, "a")] * 10_001))
    facts.add("put: 10000 events", lambda: batch(*[(at_ms, "a")] * 10_000))
    facts.add("put: one event too large", lambda: batch((at_ms, "a" * (1_048_576 - 25))))
    facts.add("put: one event just fits", lambda: batch((at_ms, "a" * (1_048_576 - 26))))
    facts.add("put: all too large", lambda: batch(*[(at_ms, "a" * 524_263)] * 2))
    facts.add("put: all just fit", lambda: batch(*[(at_ms, "a" * 524_262)] * 2))
    facts.add("put: nothing", batch)
    facts.add("put: no such stream", lambda: put("other", [(at_ms, "a")], group="limits"))
    facts.add("put: no such group", lambda: put(stream, [(at_ms, "a")], group="other"))
    facts.add("a group twice", lambda: logs.create_log_group(logGroupName="limits"))
    facts.add("a stream twice", lambda: logs.create_log_stream(logGroupName="limits", logStreamName=stream))
    colon = {"logGroupName": "limits", "logStreamName": "a:b"}
    facts.add("a stream name with a colon", lambda: bool(logs.create_log_stream(**colon)))
    described = logs.get_paginator("describe_log_groups").paginate()
    facts.add("groups", lambda: [group["logGroupName"] for page in described for group in page["logGroups"]])


facts.add("fill", fill)
search_facts()
search_refusals()
write_facts()
facts.print()
