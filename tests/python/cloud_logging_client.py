"""What the scripts on Cloud Logging share: the official client in its REST mode, which asks nobody else for anything."""

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging_v2 import Client
from requests.exceptions import RequestException


def client(endpoint, project):
    """Returns a client for an endpoint on this machine. It tries nothing again."""
    options = {"api_endpoint": endpoint}
    return Client(project=project, credentials=AnonymousCredentials(), _use_grpc=False, client_options=options)


def told(ask):
    """Returns what `ask` returns; a refusal as its class and the status that the body names, if it is a whole one."""
    try:
        return ask()
    except GoogleAPICallError as refusal:
        return f"{type(refusal).__name__} {refusal.response.json()['error']['status']}"
    except (RequestException, ValueError) as broken:
        return type(broken).__name__
