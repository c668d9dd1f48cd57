# shellcheck shell=bash
# Schemathesis, which holds the API against its own document, for tests/it/api/schema.rs. Nothing that runs needs
# it. Sourced by ../stack.

schemathesis() {
    schemathesis_is_there || step "fetching Schemathesis" schemathesis_install
    echo "$(schemathesis_folder)/bin/schemathesis"
}

schemathesis_folder() { echo "$STACK_DIR/schemathesis"; }

# A stamp holds what was installed, and is written last, as for the producers.
schemathesis_is_there() {
    [[ $(cat "$(schemathesis_folder)/.installed" 2>/dev/null) == "${SCHEMATHESIS[*]}" ]]
}

schemathesis_install() {
    local folder
    folder=$(schemathesis_folder)
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install -q --no-deps --no-cache-dir "${SCHEMATHESIS[@]}"
    "$folder/bin/python" -m pip check
    echo "${SCHEMATHESIS[*]}" >"$folder/.installed"
}
