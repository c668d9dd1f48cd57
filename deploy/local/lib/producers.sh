# shellcheck shell=bash
# Programs of others that publish to Kafka: kcat, the CloudEvents SDKs of Python and JavaScript with their Kafka
# clients, and tsx to run TypeScript. For tests/it/producers.rs and tests/it/docs/snippets.rs; nothing that runs needs
# them. Sourced by ../stack.

producers() {
    producers_need_commands
    producers_have_python || step "fetching the CloudEvents SDK of Python" producers_install_python
    producers_have_node || step "fetching the CloudEvents SDK of JavaScript" producers_install_node
    echo "kcat=$(type -P kcat)"
    echo "python=$(producers_python)/bin/python"
    echo "node=$(type -P node)"
    echo "node_modules=$(producers_node)/node_modules"
}

producers_need_commands() {
    local missing=()
    have kcat || missing+=(kcat)
    have node || missing+=(nodejs)
    have npm || producers_have_node || missing+=(npm)
    python3 -c 'import ensurepip, venv' 2>/dev/null || producers_have_python || missing+=(python3 python3-venv)
    ((${#missing[@]} == 0)) || need_packages "the test of producers" "${missing[@]}"
}

producers_python() { echo "$STACK_DIR/producers"; }
producers_node() { echo "$STACK_DIR/producers-node"; }

# A stamp holds what was installed, and is written last: other pins, or an install that broke off, do not match.
producers_have_python() {
    [[ $(cat "$(producers_python)/.installed" 2>/dev/null) == "${PRODUCERS_PYTHON[*]}" ]]
}

producers_have_node() {
    cmp -s "$LOCAL_DIR/producers/package-lock.json" "$(producers_node)/.installed"
}

# --no-deps: the pins name everything, so nothing newer comes along.
producers_install_python() {
    local folder
    folder=$(producers_python)
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install -q --no-deps --no-cache-dir "${PRODUCERS_PYTHON[@]}"
    "$folder/bin/python" -m pip check
    echo "${PRODUCERS_PYTHON[*]}" >"$folder/.installed"
}

producers_install_node() {
    local folder
    folder=$(producers_node)
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$LOCAL_DIR"/producers/package*.json "$folder"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund)
    cp "$LOCAL_DIR/producers/package-lock.json" "$folder/.installed"
}
