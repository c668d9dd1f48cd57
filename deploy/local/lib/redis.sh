# shellcheck shell=bash
# Redis, with the machine's own redis-server. Sourced by ../stack.

REDIS_PORT=${REDIS_PORT:-16379}

redis_port() { echo "$REDIS_PORT"; }

# Debian ships the server's program in redis-tools, under its other name redis-check-rdb: it looks at the name
# that it is called by. The package redis-server would only add a system service, which nobody asked for.
redis_program() {
    local link=$STACK_DIR/bin/redis-server
    if have redis-server; then
        type -P redis-server
    else
        mkdir -p "$STACK_DIR/bin"
        ln -sf "$(type -P redis-check-rdb)" "$link"
        echo "$link"
    fi
}

redis_start() {
    local folder=$STACK_DIR/redis
    mkdir -p "$folder"
    redis_write_config "$folder" >"$folder/redis.conf"
    start redis "$(redis_program)" "$folder/redis.conf"
}

redis_write_config() {
    cat <<CONFIG
bind 127.0.0.1
port $REDIS_PORT
dir "$1"
daemonize no
# The command line stays as it is: it tells the stack that the process is its own.
set-proc-title no
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
save ""
CONFIG
}

redis_answers() { [[ $(ask "$REDIS_PORT" 'PING\r\n' 7) == 2b504f4e470d0a ]]; } # +PONG
