"""Posts, edits and answers with slack_sdk's WebClient: `slack_api.py URL TOKEN CHANNEL`.

Prints for each case the error, or what the answer names. Each case is a call as other people's programs make it.
"""

import json
import sys

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

url, token, channel = sys.argv[1:]
client = WebClient(token=token, base_url=url)
blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*hello*"}}]


def outcome(call, **arguments):
    """Returns the error that the client reads in the answer, with its details, or None."""
    try:
        call(**arguments)
    except SlackApiError as refusal:
        response = refusal.response
        return [response.status_code, response["error"], "retry-after" in {name.lower() for name in response.headers}]
    return None


posted = client.chat_postMessage(channel=channel, text="hello", blocks=blocks)
edited = client.chat_update(channel=posted["channel"], ts=posted["ts"], text="edited", blocks=blocks)
answer = client.chat_postMessage(channel=posted["channel"], thread_ts=posted["ts"], text="line", reply_broadcast=True)
as_form = client.api_call("chat.postMessage", data={"channel": channel, "text": "form", "blocks": json.dumps(blocks)})
other = WebClient(token="xoxb-other", base_url=url)
place = {"channel": posted["channel"], "ts": posted["ts"]}
results = {
    "user": client.auth_test()["user"],
    "same message": edited["ts"] == posted["ts"],
    "thread": answer["message"]["thread_ts"] == posted["ts"],
    "form": as_form["ok"],
    "wrong token": outcome(other.chat_postMessage, channel=channel, text="x"),
    "wrong channel": outcome(client.chat_postMessage, channel="C0000000000", text="x"),
    "edit by name": outcome(client.chat_update, channel=channel, ts=posted["ts"], text="x"),
    "wrong message": outcome(client.chat_update, channel=posted["channel"], ts="1.000001", text="x"),
    "wrong thread": outcome(client.chat_postMessage, channel=channel, thread_ts="1.000001", text="x"),
    "nothing to say": outcome(client.chat_postMessage, channel=channel, blocks=[]),
    "too long": outcome(client.chat_postMessage, channel=channel, text="x" * 40_001),
    "wrong blocks": outcome(client.chat_update, **place, text="x", blocks=[{"type": "section"}]),
    "unknown method": outcome(client.api_call, api_method="chat.unknown"),
}
json.dump(results, sys.stdout)
