#!/usr/bin/env bash
# The demonstration: quantises packaging/demo into .build/demo, starts a daemon of its own, and lets a person talk to
# it. Without a terminal it answers one prompt. Either way the daemon is stopped at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binaries=.build/release
checkpoint=packaging/demo
directory=$PWD/.build/demo
model=$directory/fable.moe
log=$directory/moed.log
prompt="Tell me a story about a dog and a ball."
daemon=
private_directory=

stop_daemon() {
    [[ -n $daemon ]] || return 0
    local process=$daemon
    daemon=
    kill -TERM "$process" 2>/dev/null || true
    # The daemon gives running answers four seconds and ends within five.
    local attempt
    for (( attempt = 0; attempt < 100; attempt++ )); do
        kill -0 "$process" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$process" 2>/dev/null || true
    wait "$process"
}

finish() {
    local status=$?
    trap - EXIT
    stop_daemon || { status=70; echo "demo: the daemon did not stop properly" >&2; }
    [[ -z $private_directory ]] || rm -rf "$private_directory"
    if (( status != 0 )) && [[ -s $log ]]; then
        echo "demo: failed; the daemon's log ($log):" >&2
        tail -n 40 "$log" >&2
    fi
    exit "$status"
}

# A signal's default action would leave the daemon behind.
trap finish EXIT
trap 'exit 143' TERM HUP
# Job control gives the conversation the terminal to itself: its Ctrl-C doesn't reach the daemon, this script or make.
set -m

mkdir -p "$directory"
rm -f "$log"
if [[ ! -e $model ]] || [[ -n $(find "$checkpoint" "$binaries/moe-quantize" -newer "$model" -print -quit) ]]; then
    "$binaries/moe-quantize" convert "$checkpoint" -o "${model#"$PWD/"}" --type int4 --force
fi

socket=$directory/moed.sock
if (( $(printf %s "$socket" | wc -c) > 107 )); then
    # The system allows a socket's path 107 bytes.
    private_directory=$(mktemp -d "${TMPDIR:-/tmp}/moed-demo-XXXXXX")
    socket=$private_directory/moed.sock
fi

"$binaries/moed" serve "$model" --socket "$socket" >"$log" 2>&1 </dev/null &
daemon=$!
for (( attempt = 0; ; attempt++ )); do
    if "$binaries/moectl" status --socket "$socket" >/dev/null 2>&1; then break; fi
    if ! kill -0 "$daemon" 2>/dev/null; then
        echo "demo: the daemon ended before it was ready" >&2
        wait "$daemon" || true
        daemon=
        exit 69
    fi
    if (( attempt == 600 )); then
        echo "demo: the daemon wasn't ready within a minute" >&2
        exit 69
    fi
    sleep 0.1
done

if [[ -t 0 && -t 1 ]]; then
    echo "Fable tells children's stories. Try: $prompt"
    "$binaries/moectl" chat --temperature 0.2 --socket "$socket"
else
    echo ">>> $prompt"
    "$binaries/moectl" run "$prompt" --temperature 0.2 --seed 7 --stats --socket "$socket" </dev/null
fi
