"""Queries Log Analytics with Microsoft's client, and prints the answers: `log_analytics.py ENDPOINT WORKSPACE FILE...`.

The files are recorded answers, whose rows the workspace holds. The result of a read is its difference from the rows
that Python selects: [missing, too many].
"""

import gzip
import json
import sys
import tempfile
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone

from answers import Facts
from azure.identity import ManagedIdentityCredential, WorkloadIdentityCredential
from log_analytics_client import CLIENT_ID, TENANT, by_secret, client, refused, settings

ENDPOINT, WORKSPACE, *FILES = sys.argv[1:]
SECRET = "a secret & more+"
NO_WORKSPACE = "0f3a5a1e-0000-4000-8000-000000000000"
START = datetime(2026, 11, 22, 1, 1, 13, tzinfo=timezone.utc)

facts = Facts()


def cell_of(kind, cell):
    return datetime.fromisoformat(cell) if kind == "datetime" else cell


def recorded():
    """Returns the columns as (name, type) and the rows of each table, with times as times."""
    columns, rows = {}, defaultdict(list)
    for file in FILES:
        with gzip.open(file) as text:
            answer = json.load(text)["tables"][0]
        kinds = [(column["name"], column["type"]) for column in answer["columns"]]
        index = [name for name, _ in kinds].index("Type")
        for row in answer["rows"]:
            columns[row[index]] = kinds
            rows[row[index]].append(tuple(cell_of(kind, cell) for (_, kind), cell in zip(kinds, row)))
    return columns, rows


COLUMNS, ROWS = recorded()


def read(logs, table, wanted, condition="", timespan=None):
    """Reads rows of a table, and returns their difference from the wanted rows."""
    names = ", ".join(name for name, _ in COLUMNS[table])
    result = logs.query_workspace(WORKSPACE, f"{table}{condition} | project {names}", timespan=timespan)
    assert type(result).__name__ == "LogsQueryResult", result
    (answer,) = result.tables
    assert answer.name == "PrimaryResult"
    assert list(zip(answer.columns, answer.columns_types)) == COLUMNS[table], answer.columns
    found, wanted = Counter(tuple(row) for row in answer.rows), Counter(wanted)
    return [(wanted - found).total(), (found - wanted).total()]


def within(table, earliest, latest):
    index = [name for name, _ in COLUMNS[table]].index("TimeGenerated")
    return [row for row in ROWS[table] if earliest <= row[index] <= latest]


def workload_identity():
    with tempfile.NamedTemporaryFile("w", suffix=".jwt") as token:
        token.write("a service account's token")
        token.flush()
        credential = WorkloadIdentityCredential(
            tenant_id=TENANT,
            client_id="pod",
            token_file_path=token.name,
            disable_instance_discovery=True,
            **settings(ENDPOINT),
        )
        return refused(lambda: count(client(ENDPOINT, credential)))


def count(logs, query="AKSAudit | summarize Rows = count()", workspace=WORKSPACE, **more):
    return logs.query_workspace(workspace, query, timespan=None, **more).tables[0].rows[0][0]


def add(name, ask):
    facts.add(name, lambda: refused(ask))


logs = client(ENDPOINT, by_secret(ENDPOINT, SECRET))
for table, rows in ROWS.items():
    add(f"all of {table}", lambda: read(logs, table, rows))
    minute = (START, START + timedelta(seconds=2))
    add(f"a timespan of {table}", lambda: read(logs, table, within(table, *minute), timespan=minute))
    hour = (START, timedelta(hours=1))
    late = within(table, START, START + timedelta(hours=1))
    add(f"a start and a duration of {table}", lambda: read(logs, table, late, timespan=hour))
    condition = " | where TimeGenerated >= datetime(2026-11-22T01:02:00Z)"
    both = within(table, datetime(2026, 11, 22, 1, 2, tzinfo=timezone.utc), START + timedelta(hours=1))
    add(f"a timespan and a condition of {table}", lambda: read(logs, table, both, condition, hour))
add("rows counted", lambda: count(logs))
add("a long wait", lambda: count(logs, server_timeout=600))
add("too long a wait", lambda: count(logs, server_timeout=601))
add("a syntax error", lambda: count(logs, "AKSAudit | where Verb ="))
add("an unknown column", lambda: count(logs, 'AKSAudit | where verb == ""'))
add("an unknown table", lambda: count(logs, "Heartbeat | take 1"))
add("an unknown workspace", lambda: count(logs, workspace=NO_WORKSPACE))
add("another workspace beside", lambda: count(logs, additional_workspaces=[NO_WORKSPACE]))
add("a wrong secret", lambda: count(client(ENDPOINT, by_secret(ENDPOINT, "guessed"))))
add("a workload identity", workload_identity)
add("a managed identity", lambda: count(client(ENDPOINT, ManagedIdentityCredential(**settings(ENDPOINT)))))
facts.print()
