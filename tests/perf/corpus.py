"""Makes an audit log of any size from the recordings, always the same for the same seed.

Three requests of a hundred are refused: bursts of one source each, from the public internet and from inside, a third of
them anonymous. Everything else is the traffic of `benign`, with other ids, times and addresses.
"""

import gzip
import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

RECORDINGS = Path(__file__).resolve().parents[1] / "data" / "audit"
BEGIN = datetime(2026, 11, 21, 10, tzinfo=timezone.utc)
# How far apart two lines are: 1 GiB of thin ones is six hours.
STEP = timedelta(milliseconds=26)
# A source of refused requests is busy for so many lines, then never again.
BURST_LINES = 4_000
REFUSED = 0.03
THIN_BYTES = 1_300
FAT_BYTES = (5_000, 50_000)
CLUSTERED_NAMES = ["coredns", "metrics-server", "web", "worker", "ingress", "cert-manager"]


def recorded(name):
    """Returns the events of a recording that stand for a request."""
    with gzip.open(RECORDINGS / f"{name}.audit.log.gz", "rt", encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    return [event for event in events if event["stage"] == "ResponseComplete"]


def hexadecimal(chance, digits):
    return f"{chance.getrandbits(4 * digits):0{digits}x}"


def uuid(chance):
    text = hexadecimal(chance, 32)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def workload(chance, size):
    """Returns an object like a list of pods, spelled in about `size` bytes."""
    items, spelled = [], 2
    while spelled < size:
        name = f"{chance.choice(CLUSTERED_NAMES)}-{hexadecimal(chance, 10)}"
        item = {
            "metadata": {"name": name, "namespace": "default", "uid": uuid(chance), "resourceVersion": str(chance.randrange(10**7)),
                         "labels": {"app": name, "pod-template-hash": hexadecimal(chance, 10)}},
            "spec": {"containers": [{"name": "main", "image": f"registry/{name}@sha256:{hexadecimal(chance, 64)}",
                                     "args": ["--v=2", f"--limit={chance.randrange(1000)}"], "resources": {"limits": {"cpu": "100m"}}}]},
            "status": {"phase": "Running", "podIP": f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"},
        }
        items.append(item)
        spelled += len(json.dumps(item, separators=(",", ":"))) + 1
    return {"items": items}


def templates(events, size_of, number, chance):
    """Returns events as text in parts, between which the id, the source and the times go, each about as long as asked."""
    made = []
    for _ in range(number):
        event = dict(chance.choice(events))
        event["auditID"], event["sourceIPs"] = "@ID@", ["@SOURCE@"]
        event["requestReceivedTimestamp"] = event["stageTimestamp"] = "@TIME@"
        tail = {key: event.pop(key) for key in ("requestReceivedTimestamp", "stageTimestamp")}
        annotations = event.pop("annotations", None)
        for key in ("requestObject", "responseObject"):
            event.pop(key, None)
        spelled = json.dumps({**event, **tail}, separators=(",", ":"), ensure_ascii=False).replace("&", "\\u0026")
        size = size_of(chance)
        if size - len(spelled) > 400 and event["responseStatus"]["code"] < 300:
            event["responseObject"] = workload(chance, size - len(spelled) - 400)
        event |= tail
        if annotations:
            event["annotations"] = annotations
        spelled = json.dumps(event, separators=(",", ":"), ensure_ascii=False).replace("&", "\\u0026")
        made.append(spelled.replace("@ID@", "\0i\0").replace("@SOURCE@", "\0s\0").replace("@TIME@", "\0t\0").split("\0"))
    return made


def write(path, size, is_fat, seed=1):
    """Writes about `size` bytes of lines to `path`."""
    chance = random.Random(seed)
    length = (lambda chance: chance.randrange(*FAT_BYTES)) if is_fat else (lambda _: THIN_BYTES)
    quiet = [event for event in recorded("benign")
             if event.get("responseStatus", {}).get("code") in (200, 201) and event["user"]["username"] != "system:anonymous"]
    refused = [event for event in recorded("anonymous-scan") + recorded("rbac-enumeration")
               if event.get("responseStatus", {}).get("code") == 403]
    kinds = [templates(quiet, length, 400, chance), templates(refused, length, 200, chance)]
    written, number, at = 0, 0, BEGIN
    with open(path, "w", encoding="utf-8") as out:
        while written < size:
            is_refused = chance.random() < REFUSED
            parts = kinds[is_refused][chance.randrange(len(kinds[is_refused]))]
            if is_refused:
                burst = number // BURST_LINES
                network = "91.10" if burst % 4 else "10.99"
                source = f"{network}.{burst // 250}.{burst % 250 + 1}"
            else:
                source = f"10.0.{number % 7}.{number % 200 + 1}"
            values = {"i": uuid(chance), "s": source, "t": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
            line = "".join(values[part] if part in values else part for part in parts)
            out.write(line)
            out.write("\n")
            written += len(line) + 1
            number += 1
            at += STEP


def eks_event(line, number):
    """Returns a line as FilterLogEvents answers with it."""
    time = datetime.fromisoformat(json.loads(line)["stageTimestamp"])
    return {"logStreamName": "kube-apiserver-audit-1", "timestamp": int(time.timestamp() * 1000), "message": line,
            "ingestionTime": 1, "eventId": str(number)}


def aks_row(line, _):
    """Returns a line as a row of Log Analytics holds it."""
    return {"TimeGenerated": json.loads(line)["stageTimestamp"], "Category": "kube-audit", "log_s": line,
            "_ResourceId": "/subscriptions/1/resourcegroups/rg/providers/microsoft.containerservice/managedclusters/prod"}


def gke_call(event):
    """Returns `methodName` and `resourceName` of a request."""
    ref = event.get("objectRef")
    if ref is None:
        return f"io.k8s.{event['verb']}", event["requestURI"].split("?")[0].lstrip("/")
    group, version = ref.get("apiGroup", "core"), ref.get("apiVersion", "v1")
    path = [group, version]
    path += ["namespaces", ref["namespace"]] if "namespace" in ref else []
    path += [ref[key] for key in ("resource", "name", "subresource") if key in ref]
    reversed_group = ".".join(reversed(group.removesuffix(".k8s.io").split(".")))
    below = f".{ref['subresource']}" if "subresource" in ref else ""
    return f"io.k8s.{reversed_group}.{version}.{ref['resource']}{below}.{event['verb']}", "/".join(path)


def gke_entry(line, number):
    """Returns a line as an entry of Cloud Logging."""
    event = json.loads(line)
    method, resource = gke_call(event)
    code = event["responseStatus"]["code"]
    status = {401: {"code": 16}, 403: {"code": 7, "message": "Forbidden"}, 404: {"code": 5}}.get(code, {})
    payload = {"@type": "type.googleapis.com/google.cloud.audit.AuditLog", "serviceName": "k8s.io", "methodName": method,
               "resourceName": resource, "authenticationInfo": {"principalEmail": event["user"]["username"]},
               "authorizationInfo": [{"permission": method, "resource": resource, "granted": code != 403}], "status": status,
               "requestMetadata": {"callerIp": event["sourceIPs"][-1], "callerSuppliedUserAgent": event.get("userAgent", "")}}
    if "responseObject" in event:
        payload["response"] = event["responseObject"]
    return {"insertId": str(number), "logName": "projects/prod/logs/cloudaudit.googleapis.com%2Fdata_access",
            "labels": event.get("annotations", {}), "protoPayload": payload,
            "operation": {"id": event["auditID"], "producer": "k8s.io", "first": True, "last": True},
            "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "prod", "location": "europe-west1", "project_id": "prod"}},
            "timestamp": event["stageTimestamp"], "receiveTimestamp": event["stageTimestamp"]}


def wrapped(source, target, kind):
    """Writes the lines of `source` to `target` as a cloud exports them, one a line."""
    record = {"eks": eks_event, "aks": aks_row, "gke": gke_entry}[kind]
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for number, line in enumerate(lines):
            out.write(json.dumps(record(line.rstrip("\n"), number), separators=(",", ":"), ensure_ascii=False) + "\n")
