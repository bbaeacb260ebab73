#!/bin/sh
# Makes sure that the images of the lab are there: the official ones where a registry answers, else stand-ins
# with the same names, programs and entry points, built from Debian's and Python's packages.
set -eu

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%s\n' "$*" >&2; }
# A stand-in that was built from another Dockerfile is built again; an official image has a digest.
have() { docker image inspect "$1" >/dev/null 2>&1; }
current() {
    have "$1" || return 1
    [ "$(docker image inspect -f '{{len .RepoDigests}}' "$1")" != 0 ] ||
        [ "$(docker image inspect -f '{{index .Config.Labels "doctor.lab.dockerfile"}}' "$1")" = "$(sum_of "$2")" ]
}
sum_of() { cksum <"$here/images/$1" | tr ' ' -; }
# A registry that did not answer once is not asked again: where packets are dropped each try takes long.
pulled() {
    [ ! -e "$work/no-registry" ] || return 1
    timeout 300 docker pull -q "$1" >/dev/null 2>"$work/pull.log" || { touch "$work/no-registry"; return 1; }
}

# The root file system of a Debian release with Python, as image doctor-lab/$1.
base() {
    have "doctor-lab/$1" && return
    if ! command -v debootstrap >/dev/null; then
        [ -e /etc/debian_version ] && [ "$(id -u)" = 0 ] || {
            say "lab: no registry answers ($(tail -n 1 "$work/pull.log")), and stand-ins for the images are built only on Debian as root"
            exit 1
        }
        apt-get update >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap ca-certificates >/dev/null
    fi
    say "lab: building the base of the stand-ins (Debian $1)"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip,iproute2 \
        "$1" "$work/$1" >"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
    tar -C "$work/$1" -c . | docker import - "doctor-lab/$1" >/dev/null
    rm -rf "${work:?}/$1"
}

# build IMAGE DOCKERFILE BASE [ARG=VALUE]
build() {
    image=$1 file=$2 base=$3 arg=${4:-NONE=}
    say "lab: building a stand-in for $image"
    context=$work/context
    rm -rf "$context"
    cp -r "$here/images" "$context"
    # A machine behind a proxy of its own has that proxy's certificate here; pip inside the build needs it too.
    cp /etc/ssl/certs/ca-certificates.crt "$context/ca.crt"
    DOCKER_BUILDKIT=0 docker build --network host --build-arg "BASE=doctor-lab/$base" --build-arg "$arg" \
        --label "doctor.lab.dockerfile=$(sum_of "$file")" -t "$image" -f "$context/$file" "$context" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; exit 1; }
}

image_caddy=caddy:2
current $image_caddy caddy.Dockerfile || pulled $image_caddy || { base bookworm; build $image_caddy caddy.Dockerfile bookworm; }

# From 11.1 on mitmproxy needs Python 3.12 or newer, which Debian has since trixie.
for version in 8.1.1 10.4.2 11.0.2 12.2.3; do
    image=mitmproxy/mitmproxy:$version
    case $version in 12.*) release=trixie ;; *) release=bookworm ;; esac
    case $version in 8.*) file=mitmproxy-8.Dockerfile ;; *) file=mitmproxy.Dockerfile ;; esac
    current $image $file || pulled $image || { base $release; build $image $file $release VERSION=$version; }
done

have doctor-lab/backend || {
    if pulled python:3-slim; then
        docker tag python:3-slim doctor-lab/backend
    else
        base bookworm
        docker tag doctor-lab/bookworm doctor-lab/backend
    fi
}
