"""Repeats a query to Log Analytics with Microsoft's client, and prints how the client reads each answer:
`log_analytics_answers.py ENDPOINT WORKSPACE TIMES`. An answer is [class or error, rows, code of a partial error].
"""

import json
import sys

from azure.core.exceptions import AzureError
from log_analytics_client import by_secret, client, refused

ENDPOINT, WORKSPACE, TIMES = sys.argv[1:]

logs = client(ENDPOINT, by_secret(ENDPOINT, "any"))


def ask():
    result = logs.query_workspace(WORKSPACE, "AKSAudit | project AuditId", timespan=None)
    name = type(result).__name__
    if name == "LogsQueryPartialResult":
        return [name, len(result.partial_data[0].rows), result.partial_error.code]
    return [name, len(result.tables[0].rows), None]


def outcome():
    try:
        answer = refused(ask)
    except AzureError as broken:
        answer = type(broken).__name__
    return answer if isinstance(answer, list) else [answer, 0, None]


json.dump([outcome() for _ in range(int(TIMES))], sys.stdout)
