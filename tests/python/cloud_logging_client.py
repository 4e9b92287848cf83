"""Shared by the scripts for Cloud Logging: the official client in its REST mode, which contacts no other service."""

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging_v2 import Client
from requests.exceptions import RequestException


def client(endpoint, project):
    """Returns a client for an endpoint on this machine. It never retries."""
    options = {"api_endpoint": endpoint}
    return Client(project=project, credentials=AnonymousCredentials(), _use_grpc=False, client_options=options)


def result_of(ask):
    """Returns the result of `ask`; for a refusal, its class and the status in its body, if the body is complete."""
    try:
        return ask()
    except GoogleAPICallError as refusal:
        return f"{type(refusal).__name__} {refusal.response.json()['error']['status']}"
    except (RequestException, ValueError) as broken:
        return type(broken).__name__
