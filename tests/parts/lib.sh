# shellcheck shell=bash
# What every part shares: the cache, its lock, the atomic hand-over, and the one line that says
# what was chosen. Sourced by the scripts beside it, never run. A part's script says that line on
# stderr, prints only the part's path (or way) on stdout, and ends with 1 when it cannot be had.
set -euo pipefail

PARTS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
ROOT="$(cd "$PARTS/../.." && pwd -P)"
CACHE="${SPANFERRY_CACHE:-$ROOT/.cache}"
case "$CACHE" in /*) ;; *) CACHE="$ROOT/$CACHE" ;; esac
STAGE=""

# The versions of what is fetched. (wasm-bindgen's is Cargo.lock's.)
# shellcheck disable=SC2034
ENVOY_VERSION=1.40.0 KAFKA_VERSION=4.1.0 JAEGER_VERSION=1.76.0 CARGO_DENY_VERSION=0.20.2
ISTIO_API_VERSION=1.32.0 ENVOY_GATEWAY_VERSION=1.9.1

# say PART TEXT: one line on stderr.
say() { printf '%s: %s\n' "$1" "$2" >&2; }

# cannot PART WHY COMMAND: one line that ends in the command which would bring the part; then exit 1.
cannot() {
    say "$1" "MISSING: $2; to get it: $3"
    exit 1
}

# at PATH: the path as a person reads it, short when it is inside the checkout.
at() { printf '%s' "${1#"$ROOT"/}"; }

# stage PART: take the part's lock (waits for another run) and open a temporary directory, $STAGE,
# on the cache's own file system, so that the last step is a rename. Gone at exit.
stage() {
    mkdir -p "$CACHE"
    if command -v flock >/dev/null; then
        exec 9>"$CACHE/.$1.lock"
        flock -n 9 || { say "$1" "waiting for another run that is fetching it"; flock 9; }
    fi
    STAGE="$(mktemp -d "$CACHE/.$1.XXXXXX")"
    trap 'rm -rf "$STAGE"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# publish DIR: rename the finished $STAGE/out to its final place; a run that was faster wins.
publish() {
    mkdir -p "$(dirname "$1")"
    [ -e "$1" ] || mv "$STAGE/out" "$1" 2>/dev/null || [ -e "$1" ]
}

# run_logged PART WHAT COMMAND…: run a long command quietly; show the end of what it printed if it fails.
run_logged() {
    local part="$1" what="$2" start=$SECONDS
    shift 2
    say "$part" "$what"
    if ! "$@" >"$STAGE/log" 2>&1 9>&-; then
        tail -n 30 "$STAGE/log" >&2
        return 1
    fi
    say "$part" "done in $((SECONDS - start)) s"
}

# apt_install PACKAGE…: as root; the package lists are fetched only when the first try fails.
apt_install() {
    local go=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
    "${go[@]}" "$@" || { apt-get update -q && "${go[@]}" "$@"; }
}
