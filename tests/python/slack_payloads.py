"""Reads a JSON array of Slack payloads, and says of each what slack_sdk's models make of it: `slack_payloads.py [URL]`.

Prints for each an error, or null; where a webhook is given, the payload is sent as well and the answer printed.
"""

import json
import sys

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.webhook import WebhookClient

slack = WebhookClient(sys.argv[1]) if len(sys.argv) > 1 else None


def problem(blocks):
    """Returns what is wrong with blocks, or None. A member that the models do not know is lost on the way."""
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


verdicts = []
for payload in json.load(sys.stdin):
    verdict = {"problem": problem(payload.get("blocks", []))}
    if slack:
        answered = slack.send_dict(payload)
        headers = {name.lower(): value for name, value in answered.headers.items()}
        verdict |= {"status": answered.status_code, "body": answered.body, "retry_after": headers.get("retry-after")}
    verdicts.append(verdict)
json.dump(verdicts, sys.stdout)
