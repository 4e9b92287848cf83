"""Shared by the scripts for Log Analytics: the official client, with every https request redirected to this machine.

The client and the credentials of azure-identity refuse to send secrets over plain http, and rightly so. They stay
unchanged; only their transport redirects.
"""

import re
from urllib.parse import urlsplit, urlunsplit

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential, CredentialUnavailableError
from azure.monitor.query import LogsQueryClient

TENANT = "33334444-3333-4444-5555-666677778888"
CLIENT_ID = "44445555-3333-4444-5555-666677778888"


class Loopback(RequestsTransport):
    """Sends requests for any host to an endpoint on this machine."""

    def __init__(self, endpoint, **settings):
        super().__init__(connection_timeout=5, read_timeout=30, **settings)
        self._endpoint = urlsplit(endpoint)

    def send(self, request, **settings):
        original = urlsplit(request.url)
        request.url = urlunsplit((self._endpoint.scheme, self._endpoint.netloc, *original[2:]))
        return super().send(request, **settings)


def settings(endpoint):
    """Returns the settings of a credential: it reports each refusal and never retries."""
    return {"transport": Loopback(endpoint), "retry_total": 0}


def by_secret(endpoint, secret):
    """Returns a credential by a client secret. It does not discover authorities."""
    return ClientSecretCredential(TENANT, CLIENT_ID, secret, disable_instance_discovery=True, **settings(endpoint))


def client(endpoint, credential):
    """Returns a client of the query API."""
    return LogsQueryClient(credential, **settings(endpoint))


def refused(ask):
    """Returns the result of `ask`, or the class, the status and the code of the client's error."""
    try:
        return ask()
    except CredentialUnavailableError as unavailable:
        return type(unavailable).__name__
    except HttpResponseError as refusal:
        # The client of the query API wraps the error of the credential.
        if isinstance(refusal.__context__, ClientAuthenticationError):
            return " ".join(["ClientAuthenticationError", *re.findall(r"AADSTS\d+", refusal.message)[:1]])
        code = refusal.error.code if refusal.error else None
        return " ".join(str(part) for part in [type(refusal).__name__, refusal.status_code, code] if part)
