"""Validates a JSON array of Slack payloads with the models of slack_sdk: `slack_payloads.py [URL]`.

Prints for each an error, or null. With the URL of a webhook, it also sends each payload and prints the answer.
"""

import json
import sys

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.webhook import WebhookClient

slack = WebhookClient(sys.argv[1]) if len(sys.argv) > 1 else None


def problem(blocks):
    """Returns the error in the blocks, or None. The models drop unknown members, which this detects."""
    parsed = Block.parse_all(blocks)
    if None in parsed:
        return f"block {parsed.index(None)} is unknown"
    try:
        for block in parsed:
            block.validate_json()
        again = [block.to_dict() for block in parsed]
    except SlackObjectFormationError as refusal:
        return str(refusal)
    return None if again == blocks else f"read as {again}"


results = []
for payload in json.load(sys.stdin):
    result = {"problem": problem(payload.get("blocks", []))}
    if slack:
        answered = slack.send_dict(payload)
        headers = {name.lower(): value for name, value in answered.headers.items()}
        result |= {"status": answered.status_code, "body": answered.body, "retry_after": headers.get("retry-after")}
    results.append(result)
json.dump(results, sys.stdout)
