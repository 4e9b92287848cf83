"""Shared by the scripts: a client of boto3 without retries, and facts as one JSON object."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def client(service, endpoint, **settings):
    """Returns a client for an endpoint on this machine; it reports each refusal and never retries."""
    retries = settings.pop("retries", {"max_attempts": 0})
    config = Config(connect_timeout=5, read_timeout=30, retries=retries, **settings)
    return boto3.client(service, endpoint_url=endpoint, config=config)


class Facts:
    """Collects answers by name."""

    def __init__(self):
        self._facts = {}

    def add(self, name, ask):
        """Calls `ask`, and keeps its result, or the class and the code of the boto3 error."""
        assert name not in self._facts, name
        self._facts[name] = answer(ask)

    def print(self):
        json.dump(self._facts, sys.stdout)


def answer(ask):
    """Returns the result of `ask`; for a refusal, its class and code, or only its class if boto3 refused."""
    try:
        return ask()
    except ClientError as refusal:
        return f"{type(refusal).__name__} {refusal.response['Error']['Code']}"
    except BotoCoreError as refusal:
        return type(refusal).__name__
