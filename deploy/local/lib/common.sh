# Shared by all parts of the stack: words to the person, processes, ports. Sourced by ../stack.

say()  { printf '%s\n' "$*" >&2; }
fail() { printf 'stack: %s\n' "$*" >&2; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }

# step "what" command...: runs it, its output into .stack/log/setup.log, and says how long it took.
step() {
    local what=$1 start=$SECONDS
    shift
    say "  $what ..."
    if ! "$@" >>"$LOG_DIR/setup.log" 2>&1; then
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
    [[ $pid =~ ^[0-9]+$ ]] && ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF -- "$STACK_DIR/"
}

# start NAME command...: in the background, on its own, its output into .stack/log/NAME.log.
start() {
    local name=$1 log=$LOG_DIR/$1.log
    shift
    [[ ! -f $log ]] || mv -f "$log" "$log.1"
    (cd "$STACK_DIR" && exec setsid nohup "$@" >"$log" 2>&1 </dev/null 9>&-) &
    echo $! >"$RUN_DIR/$name.pid"
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

# ask PORT TIMEOUT_S text: sends it and prints the first 64 bytes of the answer as hex, one line.
ask() {
    # shellcheck disable=SC2059  # the text holds escapes for printf
    timeout "$2" bash -c 'exec 3<>/dev/tcp/127.0.0.1/$0 && printf "$1" >&3 && head -c "$2" <&3' "$1" "$3" "$4" 2>/dev/null |
        od -An -v -tx1 | tr -d ' \n'
}

# up_service NAME: the same course for each of the three.
up_service() {
    local name=$1 port
    port=$("${name}_port")
    if is_ours "$name"; then
        "${name}_answers" && say "$name: already up on 127.0.0.1:$port" && return
    elif port_is_taken "$port"; then
        refuse_foreign "$name" "$port"
    else
        "${name}_start"
    fi
    STARTED+=("$name")
}

refuse_foreign() {
    local name=$1 port=$2 what="something that does not answer as $1"
    "${name}_answers" && what="another $name"
    say "stack: port $port of 127.0.0.1 is taken by $what, which this stack did not start:"
    if have ss; then ss -Hltnp "sport = :$port" >&2 || true; fi
    fail "stop it, or choose another port: ${name^^}_PORT=... $0 up"
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
