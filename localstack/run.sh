#!/usr/bin/env bash
# Puts a scan into CloudWatch Logs, runs `stakeout once`, and prints the findings that arrive through SNS in a queue.
#
#   localstack/run.sh                            on moto, which the script starts and stops
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
moto=
clean_up() {
    if [ -n "$moto" ]; then kill "$moto" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap clean_up EXIT

say() { echo "$@" >&2; }

if [ -z "${STAKEOUT:-}" ]; then
    say "building stakeout"
    (cd "$root" && cargo build --quiet --package stakeout)
    STAKEOUT=${CARGO_TARGET_DIR:-$root/target}/debug/stakeout
fi

if [ -z "${PYTHON:-}" ]; then
    environment=${CARGO_TARGET_DIR:-$root/target}/localstack-python
    PYTHON=$environment/bin/python
    if [ ! -e "$environment/whole" ]; then
        say "setting up Python with boto3 and moto in $environment"
        python3 -m venv --clear "$environment"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r "$root/tests/python/requirements.txt" >&2
        touch "$environment/whole"
    fi
fi

# Prints the address of moto once it listens; fails if moto ends before, or does not listen within a minute.
moto_endpoint() {
    for _ in $(seq 600); do
        sed -n 's/.*Running on \(http:[^ ]*\).*/\1/p' "$folder/moto.log" | head -n 1 | grep . && return
        kill -0 "$moto" 2>/dev/null || break
        sleep 0.1
    done
    cat "$folder/moto.log" >&2
    return 1
}

if [ -z "$endpoint" ]; then
    : >"$folder/moto.log"
    "$PYTHON" -m moto.server -H 127.0.0.1 -p 0 >"$folder/moto.log" 2>&1 &
    moto=$!
    endpoint=$(moto_endpoint)
    say "moto listens on $endpoint"
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
  - {name: bus, sns: {topic_arn: "$(of_prepared topic_arn)", endpoint: "$endpoint"}}
CONFIG
# Discards messages of an earlier run.
scenario receive >/dev/null
"$STAKEOUT" once -c "$folder/stakeout.yaml" --at "$at" >&2
scenario receive >"$folder/findings"
say "$(wc -l <"$folder/findings" | tr -d ' ') findings came through SNS into the queue:"
cat "$folder/findings"
# Fails if no finding arrived.
[ -s "$folder/findings" ]
