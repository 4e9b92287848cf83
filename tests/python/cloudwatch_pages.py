"""Reads a whole search with boto3's paginator: `cloudwatch_pages.py ENDPOINT GROUP PATTERN [RETRIES]`.

Prints the ids, repeated ones included, the number of events on each page, the number of retries, and the error that
ended it.
"""

import json
import sys

from answers import answer, client

endpoint, group, pattern, *retries = sys.argv[1:]
mode = {"mode": "standard", "max_attempts": int(*retries)} if retries else {"max_attempts": 0}
logs = client("logs", endpoint, retries=mode)
read = {"ids": [], "pages": [], "retries": 0, "error": None}


def read_all():
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern=pattern)
    for page in pages:
        if "events" not in page:
            return "an answer without events"
        read["ids"] += [event["eventId"] for event in page["events"]]
        read["pages"].append(len(page["events"]))
        read["retries"] += page["ResponseMetadata"]["RetryAttempts"]


read["error"] = answer(read_all)
json.dump(read, sys.stdout)
