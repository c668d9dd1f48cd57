# shellcheck shell=bash
# Debian's packages, and what to say where they cannot be installed. Sourced by ../stack.

APT_OPTIONS=(-qq -y --no-install-recommends -o DPkg::Lock::Timeout=300)

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

can_install() {
    have apt-get || return 1
    ((EUID == 0)) || { have sudo && sudo -n true 2>/dev/null; }
}

# need_packages "for what" package...: installs them, or says which to install and ends.
need_packages() {
    local purpose=$1
    shift
    can_install || fail "$purpose needs these packages (names as in Debian): $*
       install them, then run this again"
    step "installing $*" apt_install "$@"
}

apt_install() {
    apt_get install "$@" || { apt_get update && apt_get install "$@"; }
}

apt_get() {
    local verb=$1
    shift
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${APT_OPTIONS[@]}" "$verb" "$@"
}

# need_commands: everything that `up` runs. One apt call for all that is missing.
need_commands() {
    local missing=()
    have java || missing+=(default-jre-headless)
    have mvn || [[ -f $(kafka_stamp) ]] || missing+=(maven)
    have redis-server || have redis-check-rdb || missing+=(redis-tools)
    if ! have_clickhouse; then
        have python3 || missing+=(python3)
        python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    fi
    ((${#missing[@]} == 0)) || need_packages "the local stack" "${missing[@]}"
}

# --- headers that the Kafka client's C library is built with

build_deps() {
    local missing=() package
    have cmake || missing+=(cmake)
    for package in zlib1g-dev libcurl4-openssl-dev libssl-dev; do
        has_header "$package" || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        say "build headers: all there"
        return
    fi
    need_packages "the build" "${missing[@]}"
}

has_header() {
    local header
    case $1 in
        zlib1g-dev) header=zlib.h ;;
        libcurl4-openssl-dev) header=curl/curl.h ;;
        libssl-dev) header=openssl/ssl.h ;;
    esac
    echo "#include <$header>" | "${CC:-cc}" -E - >/dev/null 2>&1
}

# --- promtool: taken out of Debian's package of Prometheus, nothing of which is installed

print_promtool() {
    local tool=$STACK_DIR/bin/promtool
    if have promtool; then
        tool=$(type -P promtool)
    elif [[ ! -x $tool ]]; then
        have apt-get || fail "promtool is not on the PATH, and there is no apt-get to fetch it with"
        step "fetching promtool" fetch_promtool
    fi
    echo "$tool"
}

fetch_promtool() {
    local folder=$STACK_DIR/promtool.new
    rm -rf "$folder"
    mkdir -p "$folder" "$STACK_DIR/bin"
    (cd "$folder" && { apt-get -qq download prometheus || { apt_get update && apt-get -qq download prometheus; }; })
    dpkg -x "$folder"/prometheus_*.deb "$folder"
    mv "$folder/usr/bin/promtool" "$STACK_DIR/bin/promtool"
    rm -rf "$folder"
}
