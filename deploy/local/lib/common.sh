# shellcheck shell=bash
# Shared by all parts of the stack: words to the person, processes, ports. Sourced by ../stack.

say()  { printf '%s\n' "$*" >&2; }
fail() { printf 'stack: %s\n' "$*" >&2; exit 1; }

have() { type -P "$1" >/dev/null; }

# step "what" command...: runs it, its output into .stack/log/setup.log, and says how long it took.
step() {
    local what=$1 start=$SECONDS code
    shift
    say "  $what ..."
    set +e # an `if` around it would switch off `set -e` inside the command too
    (set -e && "$@") >>"$LOG_DIR/setup.log" 2>&1
    code=$?
    set -e
    if ((code != 0)); then
        show_log setup
        fail "$what: failed"
    fi
    say "  $what: done in $((SECONDS - start)) s"
}

show_log() {
    say "--- the end of $LOG_DIR/$1.log"
    tail -n 20 "$LOG_DIR/$1.log" >&2 || true
    say "---"
}

# Two `up` at once: the second waits, then finds everything running.
lock() {
    mkdir -p "$RUN_DIR" "$LOG_DIR"
    have flock || return 0
    exec 9>"$RUN_DIR/lock"
    flock -n 9 && return 0
    say "another stack command is running: waiting for it"
    flock -w 900 9 || fail "another stack command has been running for 15 minutes; see $RUN_DIR/lock"
}

# --- processes: a pid file counts only while that pid's command line names our own folder

pid_of() { cat "$RUN_DIR/$1.pid" 2>/dev/null || true; }

is_ours() {
    local pid
    pid=$(pid_of "$1")
    [[ $pid =~ ^[0-9]+$ ]] && grep -qsaF -- "$STACK_DIR/" "/proc/$pid/cmdline"
}

# start NAME command...: in the background, on its own, its output into .stack/log/NAME.log.
start() {
    local name=$1 log=$LOG_DIR/$1.log i
    shift
    [[ ! -f $log ]] || mv -f "$log" "$log.1"
    (cd "$STACK_DIR" && exec setsid nohup "$@" >"$log" 2>&1 </dev/null 9>&-) &
    echo $! >"$RUN_DIR/$name.pid"
    for ((i = 0; i < 100; i++)); do # until it has become the program, or has ended
        is_ours "$name" || ! kill -0 $! 2>/dev/null && return
        sleep 0.02
    done
}

stop() {
    local name=$1 pid i
    if ! is_ours "$name"; then
        rm -f "$RUN_DIR/$name.pid"
        say "$name: not running"
        return
    fi
    pid=$(pid_of "$name")
    kill -TERM "$pid"
    for ((i = 0; i < 300; i++)); do
        is_ours "$name" || break
        sleep 0.1
    done
    if is_ours "$name"; then
        say "$name: did not stop in 30 s, killed"
        kill -KILL "$pid"
    fi
    rm -f "$RUN_DIR/$name.pid"
    say "$name: stopped"
}

# --- ports

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# ask PORT TEXT BYTES: sends the text (with printf's escapes), prints at most that many bytes of the answer as hex.
ask() {
    timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/$0 && printf "$1" >&3 && head -c "$2" <&3' "$1" "$2" "$3" 2>/dev/null |
        od -An -v -tx1 | tr -d ' \n'
}

refuse_foreign() {
    local name=$1 port what
    port=$("${name}_port")
    if is_ours "$name" || ! port_is_taken "$port"; then return; fi
    what="something that does not answer as $name"
    if "${name}_answers"; then what="another $name"; fi
    say "stack: port $port of 127.0.0.1 is taken by $what, which this stack did not start:"
    if have ss; then ss -Hltnp "sport = :$port" >&2 || true; fi
    fail "stop it, or choose another port: ${name^^}_PORT=... deploy/local/stack up"
}

# up_service NAME: the same course for each of the three.
up_service() {
    local name=$1
    if is_ours "$name" && "${name}_answers"; then
        say "$name: already up on 127.0.0.1:$("${name}_port")"
        return
    fi
    is_ours "$name" || "${name}_start"
    STARTED+=("$name")
}

wait_for() {
    local name=$1 start=$SECONDS limit_s=90
    until "${name}_answers"; do
        if ! is_ours "$name"; then
            show_log "$name"
            fail "$name ended while starting"
        fi
        if ((SECONDS - start > limit_s)); then
            show_log "$name"
            fail "$name does not answer after $limit_s s"
        fi
        sleep 0.1
    done
    say "$name: up on 127.0.0.1:$("${name}_port")"
}
