"""Sends messages built from the models of slack_sdk, with its client: `slack_models.py WEBHOOK-URL`.

Prints for each whether the models find it valid, and the answer.
"""

import json
import sys

from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    ImageBlock,
    MarkdownBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.webhook import WebhookClient

slack = WebhookClient(sys.argv[1])


def text(length):
    return MarkdownTextObject(text="x" * length, verbatim=True)


def button(length=4, url=40, value=4, **members):
    url = "https://x.example/".ljust(url, "y")
    return ButtonElement(text=PlainTextObject(text="b" * length, emoji=False), url=url, value="v" * value, **members)


def buttons(number):
    return [button(action_id=f"open-{n}") for n in range(number)]


CASES = {
    "header of 150": [HeaderBlock(text="h" * 150)],
    "header of 151": [HeaderBlock(text="h" * 151)],
    "section of 3000": [SectionBlock(text=text(3_000))],
    "section of 3001": [SectionBlock(text=text(3_001))],
    "section of nothing": [SectionBlock()],
    "10 fields": [SectionBlock(fields=[text(5)] * 10)],
    "11 fields": [SectionBlock(fields=[text(5)] * 11)],
    "field of 2000": [SectionBlock(fields=[text(2_000)])],
    "field of 2001": [SectionBlock(fields=[text(2_001)])],
    "10 in a context": [ContextBlock(elements=[text(5)] * 10)],
    "11 in a context": [ContextBlock(elements=[text(5)] * 11)],
    "25 buttons": [ActionsBlock(elements=buttons(25))],
    "26 buttons": [ActionsBlock(elements=buttons(26))],
    "button of 75": [ActionsBlock(elements=[button(75)])],
    "button of 76": [ActionsBlock(elements=[button(76)])],
    "button with a url of 3000": [ActionsBlock(elements=[button(url=3_000)])],
    "button with a url of 3001": [ActionsBlock(elements=[button(url=3_001)])],
    "button with a value of 2001": [ActionsBlock(elements=[button(value=2_001)])],
    "button in danger": [SectionBlock(text=text(5), accessory=button(style="danger"))],
    "button in style": [SectionBlock(text=text(5), accessory=button(style="loud"))],
    "image": [ImageBlock(image_url="https://x.example/i.png", alt_text="a" * 2_000)],
    "image with a text of 2001": [ImageBlock(image_url="https://x.example/i.png", alt_text="a" * 2_001)],
    "markdown of 12000": [MarkdownBlock(text="m" * 12_000)],
    "markdown of 12001": [MarkdownBlock(text="m" * 12_001)],
    "block id of 255": [DividerBlock(block_id="i" * 255)],
    "block id of 256": [DividerBlock(block_id="i" * 256)],
    "50 blocks": [DividerBlock()] * 50,
    "51 blocks": [DividerBlock()] * 51,
}


def encoded(blocks):
    """Returns the encoded blocks, and whether the models find them valid."""
    try:
        return [block.to_dict() for block in blocks], True
    except SlackObjectFormationError:
        return [unchecked(block) for block in blocks], False


def unchecked(model):
    """Encodes a model without validation, so that an invalid one can be sent."""
    if isinstance(model, list):
        return [unchecked(item) for item in model]
    if not hasattr(model, "attributes"):
        return model
    members = {name: unchecked(getattr(model, name, None)) for name in model.attributes}
    return {name: value for name, value in members.items() if value is not None}


results = {}
for name, blocks in CASES.items():
    blocks, is_valid = encoded(blocks)
    answered = slack.send(text="fallback", blocks=blocks, unfurl_links=False, unfurl_media=False)
    results[name] = [is_valid, answered.status_code, answered.body]
json.dump(results, sys.stdout)
