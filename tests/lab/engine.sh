#!/bin/sh
# Makes sure that a Docker engine answers, and that compose is there.
#
# Prints the pid of the engine when this script had to start one (the caller ends it), nothing when one was there.
# An engine is installed and started on Debian as root only; on any other machine without one this says so and fails.
set -eu

PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
is_debian_root() { [ -e /etc/debian_version ] && [ "$(id -u)" = 0 ]; }
install() {
    say "lab: installing$1 from Debian's packages"
    apt-get update >/dev/null
    # shellcheck disable=SC2086 # the words are separate packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1 >/dev/null
}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# What setups and fixes are run with, each with its package.
missing=
for pair in python3:python3 curl:curl setpriv:util-linux iptables:iptables; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3 python3-venv"
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing="$missing docker-compose"
if [ -n "$missing" ]; then
    is_debian_root || { say "lab: install these and run again:$missing"; exit 1; }
    install "$missing"
fi

if command -v docker >/dev/null && answers; then
    exit 0
fi
if [ -n "${DOCKER_HOST:-}" ]; then
    say "lab: DOCKER_HOST is $DOCKER_HOST and no engine answers there; start it, or unset DOCKER_HOST"
    exit 1
fi
if ! is_debian_root; then
    say "lab: no Docker engine answers, and one is installed by the lab only on Debian as root; start Docker and run again"
    exit 1
fi
command -v dockerd >/dev/null || install " docker.io"
command -v docker >/dev/null || install " docker-cli"

# Where systemd runs, the package starts the engine itself, or it can.
if [ -d /run/systemd/system ]; then
    systemctl start docker || true
    for _ in $(seq 10); do
        answers && exit 0
        sleep 1
    done
fi

log=${TMPDIR:-/tmp}/doctor-lab-engine.log
setsid dockerd >"$log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    if answers; then
        echo "$pid"
        exit 0
    fi
    sleep 0.2
done
say "lab: dockerd did not start; the end of $log:"
tail -n 20 "$log" >&2
exit 1
