# Redis, with the machine's own redis-server. Sourced by ../stack.

REDIS_PORT=${REDIS_PORT:-16379}

redis_port() { echo "$REDIS_PORT"; }

redis_start() {
    local folder=$STACK_DIR/redis
    mkdir -p "$folder"
    redis_write_config "$folder" >"$folder/redis.conf"
    start redis redis-server "$folder/redis.conf"
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

redis_answers() { [[ $(ask "$REDIS_PORT" 2 'PING\r\n' 7) == 2b504f4e470d0a ]]; } # +PONG
