#!/bin/sh
# Makes sure that a Docker engine answers, and that compose is there.
#
# Prints the pid of the engine when this script had to start one (the caller ends it), nothing when one was there.
# An engine is installed and started on Debian as root only; on any other machine without one this says so and fails.
set -eu

say() { printf '%s\n' "$*" >&2; }

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
    if [ ! -e /etc/debian_version ] || [ "$(id -u)" != 0 ]; then
        say "lab: neither docker compose nor docker-compose is here; install one of them and run again"
        exit 1
    fi
    say "lab: installing docker-compose from Debian's packages"
    apt-get update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker-compose >/dev/null
fi
if command -v docker >/dev/null && answers; then
    exit 0
fi
if [ -n "${DOCKER_HOST:-}" ]; then
    say "lab: DOCKER_HOST is $DOCKER_HOST and no engine answers there; start it, or unset DOCKER_HOST"
    exit 1
fi
if [ ! -e /etc/debian_version ] || [ "$(id -u)" != 0 ]; then
    say "lab: no Docker engine answers, and one is installed by the lab only on Debian as root; start Docker and run again"
    exit 1
fi

if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then
    say "lab: installing a Docker engine from Debian's packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update >/dev/null
    apt-get install -y --no-install-recommends docker.io iptables >/dev/null
fi

log=${TMPDIR:-/tmp}/doctor-lab-engine.log
setsid dockerd >"$log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 100); do
    if answers; then
        echo "$pid"
        exit 0
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
done
say "lab: dockerd did not start; the end of $log:"
tail -n 20 "$log" >&2
exit 1
