#!/usr/bin/env bash
# A scan in CloudWatch Logs, `stakeout once` on it, and the findings as they arrive by SNS in a queue of SQS.
#
#   localstack/run.sh                            on moto, which is started for it and ended after it
#   localstack/run.sh http://127.0.0.1:4566      on what listens there: LocalStack, or a moto of your own
#
# AWS_ENDPOINT_URL does the same as the argument. PYTHON names a Python that has boto3 (and moto, where no endpoint is
# given); without it, one is set up in the build folder. STAKEOUT names the binary; without it, Cargo builds it.
#
# Progress goes to standard error. Standard output is what the queue received: one OCSF Detection Finding a line.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
endpoint=${1:-${AWS_ENDPOINT_URL:-}}
recording=${RECORDING:-$root/tests/data/audit/kube-hunter.audit.log.gz}
# The last full hour: a tick of the schedule below, whose window ended ten minutes before.
at=$(date -u +%Y-%m-%dT%H:00:00Z)

export AWS_REGION=${AWS_REGION:-eu-west-1}
export AWS_DEFAULT_REGION=$AWS_REGION
export AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-test} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-test}
export AWS_EC2_METADATA_DISABLED=true
# What listens on this machine is not asked for by a proxy.
export NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost
export no_proxy=$NO_PROXY
# The endpoint is an argument from here on, and stands in the config.
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

# Prints the address that moto names once it listens; fails where it ends before, or says nothing for a minute.
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
# What an earlier run left in the queue is not this run's.
scenario receive >/dev/null
"$STAKEOUT" once -c "$folder/stakeout.yaml" --at "$at" >&2
scenario receive >"$folder/findings"
say "$(wc -l <"$folder/findings" | tr -d ' ') findings came through SNS into the queue:"
cat "$folder/findings"
# Without a message, the scan was not reported, and this script has failed.
[ -s "$folder/findings" ]
