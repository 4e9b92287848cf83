#!/usr/bin/env bash
# Puts a scan into CloudWatch Logs, runs `stakeout once`, and prints the findings that arrive through SNS in a queue.
#
#   localstack/run.sh                            on moto, which the script starts and stops
#   localstack/run.sh --localstack               on LocalStack without a container, which the script starts and stops; it
#                                                needs Python 3.13, and is skipped where there is none
#   localstack/run.sh http://127.0.0.1:4566      on the server there: LocalStack, or your moto
#
# AWS_ENDPOINT_URL replaces the argument. PYTHON is a Python with boto3 (and moto, without an endpoint); by default the
# script sets one up in the build folder. STAKEOUT is the binary; by default Cargo builds it.
#
# Progress goes to standard error. Standard output holds the messages of the queue: one OCSF Detection Finding per line.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
endpoint=${1:-${AWS_ENDPOINT_URL:-}}
recording=${RECORDING:-$root/tests/data/audit/kube-hunter.audit.log.gz}
# The last full hour, for which the schedule below has a window that ended ten minutes before.
at=$(date -u +%Y-%m-%dT%H:00:00Z)

export AWS_REGION=${AWS_REGION:-eu-west-1}
export AWS_DEFAULT_REGION=$AWS_REGION
export AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-test} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-test}
export AWS_EC2_METADATA_DISABLED=true
# Servers on this machine need no proxy.
export NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost
export no_proxy=$NO_PROXY
# From here on the endpoint is an argument, and is part of the config.
unset AWS_ENDPOINT_URL

folder=$(mktemp -d)
server=
clean_up() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap clean_up EXIT

say() { echo "$@" >&2; }

# Prints a Python 3.13, which LocalStack needs. A command of that name may be one that only says what is not installed.
python_3_13() {
    for candidate in python3.13 "$HOME"/.pyenv/versions/3.13.*/bin/python3.13; do
        if "$candidate" -c '' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if [ "$endpoint" = --localstack ] && ! newest=$(python_3_13); then
    say "skipped: LocalStack needs Python 3.13, which is not on this machine"
    exit 0
fi

if [ -z "${STAKEOUT:-}" ]; then
    say "building stakeout"
    (cd "$root" && cargo build --quiet --package stakeout)
    STAKEOUT=${CARGO_TARGET_DIR:-$root/target}/debug/stakeout
fi

# Sets up a virtual environment: name, interpreter, and what pip is to install. Prints its interpreter.
environment() {
    local place=${CARGO_TARGET_DIR:-$root/target}/$1
    if [ ! -e "$place/whole" ]; then
        say "setting up $place"
        "$2" -m venv --clear "$place"
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check "${@:3}" >&2
        touch "$place/whole"
    fi
    echo "$place/bin/python"
}

if [ "$endpoint" = --localstack ]; then
    # It brings boto3.
    localstack=$(environment localstack-host "$newest" -r "$root/localstack/requirements.txt")
    PYTHON=${PYTHON:-$localstack}
fi
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$(environment localstack-python python3 --require-hashes -r "$root/tests/python/requirements.txt")
fi

# Waits until a line of the server's log fits; fails if the server ends before, or after two minutes.
until_logged() {
    for _ in $(seq 1200); do
        if grep -q "$1" "$folder/server.log"; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$folder/server.log" >&2
    return 1
}

: >"$folder/server.log"
if [ -z "$endpoint" ]; then
    "$PYTHON" -m moto.server -H 127.0.0.1 -p 0 >"$folder/server.log" 2>&1 &
    server=$!
    until_logged 'Running on http:'
    endpoint=$(sed -n 's/.*Running on \(http:[^ ]*\).*/\1/p' "$folder/server.log" | head -n 1)
    say "moto listens on $endpoint"
elif [ "$endpoint" = --localstack ]; then
    port=$("$localstack" -c 'import socket; free = socket.socket(); free.bind(("127.0.0.1", 0)); print(free.getsockname()[1])')
    # It keeps its files where it is told, and sends nothing to its makers.
    env GATEWAY_LISTEN="127.0.0.1:$port" SERVICES=logs,sns,sqs,sts DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 \
        FILESYSTEM_ROOT="$folder/localstack" TMPDIR="$folder" \
        "$localstack" -m localstack.runtime.main >"$folder/server.log" 2>&1 &
    server=$!
    until_logged '^Ready\.'
    endpoint=http://127.0.0.1:$port
    say "$(sed -n 's/^LocalStack version: /LocalStack /p' "$folder/server.log" | head -n 1) listens on $endpoint"
fi

scenario() { "$PYTHON" "$root/localstack/scenario.py" "$endpoint" "$@"; }

prepared=$(scenario prepare)
of_prepared() { "$PYTHON" -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$prepared" "$1"; }
begin=$("$PYTHON" -c 'import datetime as d, sys; at = d.datetime.fromisoformat(sys.argv[1][:-1])
print((at - d.timedelta(hours=1)).isoformat() + "Z")' "$at")
events=$(scenario put "$recording" "$begin")
say "$events events of $(basename "$recording") are in the log, from $begin on"

cat >"$folder/stakeout.yaml" <<CONFIG
schedule: {cron: "0 * * * *", earliest: -70m, latest: -10m}
state: {path: state}
sources:
  - {name: scenario, cloudwatch: {region: $AWS_REGION, log_group: $(of_prepared log_group), endpoint: "$endpoint"}}
notify:
  - {name: bus, send: findings, sns: {topic_arn: "$(of_prepared topic_arn)", endpoint: "$endpoint"}}
CONFIG
# Discards messages of an earlier run.
scenario receive >/dev/null
"$STAKEOUT" once -c "$folder/stakeout.yaml" --at "$at" >&2
scenario receive >"$folder/findings"
say "$(wc -l <"$folder/findings" | tr -d ' ') findings came through SNS into the queue:"
cat "$folder/findings"
# Fails if no finding arrived.
[ -s "$folder/findings" ]
