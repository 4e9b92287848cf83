"""Runs KQL queries over rows in DuckDB, and returns the rows that a direct evaluation of each prefilter requires.

Input: {"tables": {NAME: {"columns": {COLUMN: TYPE}, "rows": [{COLUMN: CELL}]}}, "queries": [{"table", "query",
"prefilter", "cluster", "earliest", "latest"}]}. A row is identified by its index in the table, which the queries
project as `RowId`. Output: [{"found": [INDEX], "wanted": [INDEX]}].
"""

import json
import re
import sys
from datetime import datetime, timezone
from ipaddress import ip_address, ip_network

import duckdb_kql

TYPES = {"string": "VARCHAR", "datetime": "TIMESTAMP", "dynamic": "JSON", "long": "BIGINT"}
PARTS = {
    "level": "Level",
    "auditID": "AuditId",
    "stage": "Stage",
    "requestURI": "RequestUri",
    "verb": "Verb",
    "user": "User",
    "sourceIPs": "SourceIps",
    "userAgent": "UserAgent",
    "objectRef": "ObjectRef",
    "responseStatus": "ResponseStatus",
    "annotations": "Annotations",
}


def moment(text):
    return datetime.fromisoformat(text).astimezone(timezone.utc).replace(tzinfo=None)


def load(name, columns, rows):
    """Creates a table. In Kusto, text is never null, and a dynamic cell is JSON."""
    typed = ", ".join(f'"{column}" {TYPES[kind]}' for column, kind in columns.items())
    database.execute(f'CREATE TABLE "{name}" ("RowId" BIGINT, {typed})')
    placeholders = ", ".join(["?"] * (1 + len(columns)))
    cells = [
        [index, *(cell(kind, row.get(column)) for column, kind in columns.items())] for index, row in enumerate(rows)
    ]
    database.executemany(f'INSERT INTO "{name}" VALUES ({placeholders})', cells)


def cell(kind, value):
    if value is None:
        return "" if kind == "string" else None
    if kind == "datetime":
        return moment(value)
    # The fake reads text in a dynamic cell as JSON if it is JSON.
    return json.dumps(parsed(value)) if kind == "dynamic" else value


def parsed(text):
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def event_of(table, row):
    """Returns the audit event of a row, as far as it can be read."""
    if table == "AzureDiagnostics":
        event = parsed(row.get("log_s") or "")
        return event if isinstance(event, dict) else {}
    event = {part: row.get(column) for part, column in PARTS.items()}
    for part in ["user", "sourceIPs", "objectRef", "responseStatus", "annotations"]:
        event[part] = parsed(parsed(event[part]))
    return event


def values_of(event, path):
    """Returns the values at a path: several if it leads to a list."""
    for step in path:
        event = event.get(step) if isinstance(event, dict) else None
    return event if isinstance(event, list) else [] if event is None else [event]


def is_in(text, network):
    try:
        return ip_address(text) in ip_network(network)
    except ValueError:
        return False


def fits(event, prefilter):
    """Returns whether an event fits. Here an unknown field fits nothing, so this may return false too often."""
    ((kind, of),) = prefilter.items()
    if kind == "any":
        return True
    if kind in ("or", "and"):
        return (any if kind == "or" else all)(fits(event, part) for part in of)
    values = values_of(event, of["path"])
    if "number" in of:
        return any(not isinstance(value, bool) and str(value) == str(of["number"]) for value in values)
    texts = [value for value in values if isinstance(value, str)]
    if "network" in of:
        return any(is_in(text, of["network"]) for text in texts)
    if of["cased"]:
        return of["text"] in texts
    return of["text"].lower() in [text.lower() for text in texts]


def runnable(query):
    """Returns a query that DuckDB can run: it does not know `has_any_ipv4`, which `has` can replace in these rows, and it
    does not read the escape of a letter."""

    def letter(match):
        code = int(match.group(1) or "0", 16)
        return chr(code) if code >= 0xA0 else match.group(0)

    def has_any(match):
        text, addresses = match.group(1), json.loads(match.group(2))
        return "(" + " or ".join(f"{text} has {json.dumps(address)}" for address in addresses) + ")"

    query = re.sub(r"\\\\|\\u([0-9a-f]{4})", letter, query)
    return re.sub(r"has_any_ipv4\(((?:tostring\([^()]*\)|\w+)), dynamic\((\[[^\]]*\])\)\)", has_any, query)


def wanted(query, rows):
    for index, row in enumerate(rows):
        time = moment(row["TimeGenerated"])
        in_time = query["earliest"] is None or moment(query["earliest"]) <= time < moment(query["latest"])
        in_cluster = row["_ResourceId"].lower().endswith(query["cluster"].lower())
        in_log = query["table"] != "AzureDiagnostics" or row["Category"].lower() in ("kube-audit", "kube-audit-admin")
        if in_time and in_cluster and in_log and fits(event_of(query["table"], row), query["prefilter"]):
            yield index


given = json.load(sys.stdin)
database = duckdb_kql.connect()
for name, table in given["tables"].items():
    load(name, table["columns"], table["rows"])
answers = []
for query in given["queries"]:
    found = sorted(index for (index,) in duckdb_kql.query(database, runnable(query["query"])).fetchall())
    answers.append({"found": found, "wanted": list(wanted(query, given["tables"][query["table"]]["rows"]))})
json.dump(answers, sys.stdout)
