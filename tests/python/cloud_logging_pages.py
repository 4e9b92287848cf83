"""Reads a search with the pager of the official client:
`cloud_logging_pages.py ENDPOINT PROJECT FILTER PAGE_SIZE TIMES`.

Prints for each repetition the ids, repeated ones included, and the error that ended it.
"""

import json
import sys

from cloud_logging_client import client, result_of

endpoint, project, filter_, page_size, times = sys.argv[1:]


def read():
    ids = []

    def read_all():
        for entry in client(endpoint, project).list_entries(filter_=filter_, page_size=int(page_size)):
            ids.append(entry.insert_id)

    error = result_of(read_all)
    return {"ids": ids, "error": error}


json.dump([read() for _ in range(int(times))], sys.stdout)
