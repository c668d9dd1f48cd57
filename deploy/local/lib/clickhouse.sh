# shellcheck shell=bash
# ClickHouse's HTTP interface: a ClickHouse server when the machine has one, else chDB behind
# clickhouse_front.py. Sourced by ../stack.

CLICKHOUSE_PORT=${CLICKHOUSE_PORT:-18123}

clickhouse_port() { echo "$CLICKHOUSE_PORT"; }

have_clickhouse() { have clickhouse-server || have clickhouse; }

clickhouse_fetch() {
    have_clickhouse || [[ -f $(chdb_stamp) ]] || step "fetching chDB $CHDB_CORE_VERSION" chdb_install
}

chdb_stamp() { echo "$STACK_DIR/venv/.chdb-core-$CHDB_CORE_VERSION"; }

# --no-deps: pandas and pyarrow serve chDB's data frames, which the front does not use (350 MB less).
chdb_install() {
    rm -rf "$STACK_DIR/venv"
    python3 -m venv "$STACK_DIR/venv"
    "$STACK_DIR/venv/bin/python" -m pip install -q --no-deps --no-cache-dir "chdb-core==$CHDB_CORE_VERSION"
    touch "$(chdb_stamp)"
}

clickhouse_start() {
    clickhouse_fetch
    if have_clickhouse; then clickhouse_start_server; else clickhouse_start_front; fi
}

clickhouse_start_front() {
    start clickhouse "$STACK_DIR/venv/bin/python" -B "$LOCAL_DIR/clickhouse_front.py" \
        --port "$CLICKHOUSE_PORT" --path "$STACK_DIR/clickhouse"
}

# With its own configuration, so that one installed for the whole machine plays no part.
clickhouse_start_server() {
    local folder=$STACK_DIR/clickhouse-server server=(clickhouse-server)
    have clickhouse-server || server=(clickhouse server)
    mkdir -p "$folder"
    clickhouse_write_config "$folder" >"$folder/config.xml"
    clickhouse_write_users >"$folder/users.xml"
    start clickhouse "${server[@]}" "--config-file=$folder/config.xml"
}

clickhouse_write_config() {
    cat <<CONFIG
<clickhouse>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>$CLICKHOUSE_PORT</http_port>
  <path>$1/data/</path>
  <tmp_path>$1/tmp/</tmp_path>
  <user_files_path>$1/user_files/</user_files_path>
  <timezone>UTC</timezone>
  <user_directories><users_xml><path>$1/users.xml</path></users_xml></user_directories>
</clickhouse>
CONFIG
}

clickhouse_write_users() {
    cat <<USERS
<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
</clickhouse>
USERS
}

# The whole answer, which must end in "Ok.\n".
clickhouse_answers() {
    local answer
    answer=$(ask "$CLICKHOUSE_PORT" 'GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' 4096)
    [[ $answer == *4f6b2e0a ]]
}
