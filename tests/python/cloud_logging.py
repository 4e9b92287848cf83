"""Fills and searches Cloud Logging with the official client, and prints the answers: `cloud_logging.py ENDPOINT`.

Standard input is a recorded answer of `entries.list`, whose entries the server already holds. The result of a search is
its difference from the entries that Python selects: [missing, too many].
"""

import ipaddress
import json
import re
import sys
from datetime import datetime

from answers import Facts
from cloud_logging_client import client, result_of

# If a filter has a time, the client adds none.
ALL_TIMES = 'timestamp>="2026-11-22T00:00:00Z"'
RECORDED = json.load(sys.stdin)["entries"]
PROJECT = RECORDED[0]["logName"].split("/")[1]

logging = client(sys.argv[1], PROJECT)
facts = Facts()


def at(entry, path):
    """Returns the value at a path, or None."""
    for step in path.split(" "):
        entry = entry.get(step) if isinstance(entry, dict) else None
    return entry


def code(entry):
    return at(entry, "protoPayload status code")


def method(entry):
    return at(entry, "protoPayload methodName")


def who(entry):
    return at(entry, "protoPayload authenticationInfo principalEmail")


def caller(entry):
    return at(entry, "protoPayload requestMetadata callerIp")


def permissions(entry):
    return [item["permission"] for item in at(entry, "protoPayload authorizationInfo") or []]


def decision(entry):
    return at(entry, "labels authorization.k8s.io/decision")


def time_of(entry):
    return datetime.fromisoformat(entry["timestamp"])


def is_private(address):
    networks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    address = ipaddress.ip_address(address)
    return address.version == 4 and any(address in ipaddress.ip_network(network) for network in networks)


TIMES = sorted(time_of(entry) for entry in RECORDED)
FROM, TO = TIMES[len(TIMES) // 4], TIMES[len(TIMES) // 2]
WINDOW = f'timestamp>="{FROM.isoformat()}" AND timestamp<"{TO.isoformat()}"'
READS = ("list", "get", "watch")
NOT_PRIVATE = " AND ".join(
    f'NOT ip_in_net(protoPayload.requestMetadata.callerIp, "{network}")'
    for network in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
)

# Each filter, and the same in Python over a recorded entry.
FILTERS = {
    "resource.type:*": lambda e: True,
    "protoPayload.status.code=7": lambda e: code(e) == 7,
    'protoPayload.status.code="7"': lambda e: code(e) == 7,
    "NOT protoPayload.status.code=7": lambda e: code(e) != 7,
    "protoPayload.status.code:*": lambda e: code(e) is not None,
    "NOT protoPayload.status.code:*": lambda e: code(e) is None,
    'protoPayload.authenticationInfo.principalEmail="system:anonymous"': lambda e: who(e) == "system:anonymous",
    'protoPayload.authenticationInfo.principalEmail="SYSTEM:Anonymous"': lambda e: who(e) == "system:anonymous",
    "NOT protoPayload.authenticationInfo.principalEmail:*": lambda e: who(e) is None,
    'labels."authorization.k8s.io/decision"="forbid"': lambda e: decision(e) == "forbid",
    'NOT labels."authorization.k8s.io/decision"="forbid"': lambda e: decision(e) != "forbid",
    'protoPayload.methodName=~"[.](list|get|watch)$"': lambda e: method(e).endswith(READS),
    'protoPayload.methodName=~"(?i)[.]PODS[.]"': lambda e: ".pods." in method(e),
    'protoPayload.authorizationInfo.permission="io.k8s.core.v1.pods.list"': lambda e: (
        "io.k8s.core.v1.pods.list" in permissions(e)
    ),
    f'logName="projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Factivity"': lambda e: (
        e["logName"].endswith("%2Factivity")
    ),
    NOT_PRIVATE: lambda e: not is_private(caller(e)),
    # OR binds closer than AND.
    'protoPayload.methodName=~"list$" AND protoPayload.status.code=7 OR protoPayload.status.code=16': lambda e: (
        method(e).endswith("list") and code(e) in (7, 16)
    ),
    '(protoPayload.methodName=~"list$" AND protoPayload.status.code=7) OR protoPayload.status.code=16': lambda e: (
        (method(e).endswith("list") and code(e) == 7) or code(e) == 16
    ),
    'resource.type="k8s_cluster" AND resource.labels.cluster_name="gke-prod"': lambda e: True,
    'resource.labels.cluster_name="other"': lambda e: False,
    WINDOW: lambda e: FROM <= time_of(e) < TO,
}


def key(entry):
    """Returns the identity of a recorded entry."""
    return (time_of(entry), entry["insertId"], entry["logName"], json.dumps(entry["protoPayload"], sort_keys=True))


def listed(filter_=ALL_TIMES, **search):
    search.setdefault("page_size", 1000)
    return list(logging.list_entries(filter_=filter_, **search))


def searched(filter_, expected):
    """Returns [missing, too many] of a search, comparing whole entries."""
    filter_ = filter_ if "timestamp" in filter_ else f"{ALL_TIMES} AND {filter_}"
    found = [
        (entry.timestamp, entry.insert_id, entry.log_name, json.dumps(entry.payload, sort_keys=True))
        for entry in listed(filter_)
    ]
    wanted = [key(entry) for entry in RECORDED if expected(entry)]
    missing = len(set(wanted) - set(found))
    return [missing, len(found) - (len(wanted) - missing)]


def filter_facts():
    for filter_, expected in FILTERS.items():
        facts.add(f"filter {filter_}", lambda: result_of(lambda: searched(filter_, expected)))
    without_matches = [filter_ for filter_, expected in FILTERS.items() if not any(map(expected, RECORDED))]
    facts.add("filters that find nothing", lambda: without_matches)


def order_facts():
    in_order = sorted((time_of(entry), entry["insertId"]) for entry in RECORDED)
    found = lambda **search: [(entry.timestamp, entry.insert_id) for entry in listed(**search)]
    facts.add("oldest first", lambda: found() == in_order)
    facts.add("oldest first, asked for", lambda: found(order_by="timestamp asc") == in_order)
    facts.add("newest first", lambda: found(order_by="timestamp desc") == in_order[::-1])
    facts.add("pages of 7 to 40", lambda: found(page_size=7, max_results=40) == in_order[:40])
    facts.add("nothing is lost in small pages", lambda: found(page_size=97) == in_order)


def refusal_facts():
    refused = {
        "no such project": {"resource_names": ["projects/other"]},
        "no project at all": {"resource_names": ["other"]},
        "an organization": {"resource_names": ["organizations/1"]},
        "an order by id": {"order_by": "insertId"},
        "a page of 1001": {"page_size": 1001},
        "a page of -1": {"page_size": -1},
        "malformed": {"filter_": f"{ALL_TIMES} AND"},
        "an undefined field": {"filter_": f'{ALL_TIMES} AND verb="list"'},
        "lower case and": {"filter_": f'{ALL_TIMES} and insertId="a"'},
        "a value that wants quotes": {"filter_": f"{ALL_TIMES} AND insertId=abc:def"},
        "a filter of 20001": {"filter_": ALL_TIMES.ljust(20_001)},
        "a filter of 20000": {"filter_": ALL_TIMES.ljust(20_000), "max_results": 1},
    }
    for name, search in refused.items():
        facts.add(name, lambda: result_of(lambda: len(listed(**search))))


def write_facts():
    """Searches new entries without a filter; the client then adds the last 24 hours."""
    own = client(sys.argv[1], "fresh")
    logger = own.logger("test", resource={"type": "global", "labels": {"project_id": "fresh"}})
    logger.log_text("a text", labels={"n": "1"})
    logger.log_struct({"answer": 42}, severity="ERROR", insert_id="mine")
    # The client writes an entry about itself into another log.
    found = {type(entry).__name__: entry for entry in own.list_entries() if entry.logger.name == "test"}
    shown = lambda entry: [entry.payload, entry.severity, entry.labels]
    facts.add("written", lambda: {kind: shown(entry) for kind, entry in found.items()})
    by_id = list(own.list_entries(filter_='insertId="mine" AND jsonPayload.answer=42'))
    facts.add("found by its id", lambda: [[entry.insert_id, entry.logger.name] for entry in by_id])
    bad = lambda: logger.log_struct({"answer": 42}, severity="LOUD")
    facts.add("an unknown severity", lambda: result_of(bad))


filter_facts()
order_facts()
refusal_facts()
write_facts()
facts.print()
