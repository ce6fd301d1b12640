#!/usr/bin/env bash
# Installs what pgbraid's make targets need and this machine lacks; says what it installs, and nothing if all is there.
# Used by the Makefile, by CI and by docker/Dockerfile.
#
#   docker/deps.sh [--system] PROFILE…
#
# Profiles:
#   build    a C compiler and linker for cargo
#   server   build, and the PostgreSQL server and client programs (the demo, the integration tests)
#   test     server, the locale en_US.UTF-8, and what the tests of drivers use: PgBouncer, Python, Node.js, Java with their
#            PostgreSQL drivers
#   bench    server, and PgBouncer and Python (the benchmarks)
# --system: the system's packages alone, not the drivers under target/drivers.
#
# The system's packages come from apt-get (Debian, Ubuntu), as root or through sudo. The drivers for Python and Node.js
# go to target/drivers in the pinned versions of tests/drivers; nothing is installed for the whole system by pip or npm.
# No service is left running or enabled: the tests start their own servers.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
drivers=$root/target/drivers

say() { printf 'deps: %s\n' "$*" >&2; }

system_only=no
profiles=()
for argument; do
    case $argument in
    --system) system_only=yes ;;
    build | server | test | bench) profiles+=("$argument") ;;
    *)
        say "unknown argument: $argument (profiles: build, server, test, bench)"
        exit 2
        ;;
    esac
done
[ ${#profiles[@]} -gt 0 ] || {
    say "say what for: build, server, test or bench"
    exit 2
}

has() { command -v "$1" >/dev/null 2>&1; }

# True if some directory has all server programs (as src/cli/cluster/binaries.rs looks for them).
has_postgres() {
    local dir program found
    local IFS=:
    for dir in $PATH /usr/lib/postgresql/{18,17,16,15,14}/bin; do
        found=yes
        for program in initdb postgres pg_ctl pg_basebackup psql pgbench; do
            [ -x "$dir/$program" ] || found=no
        done
        [ $found = yes ] && return 0
    done
    return 1
}

has_venv() { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_javac() { has javac || { has java && [ -x "$(dirname "$(readlink -f "$(command -v java)")")/javac" ]; }; }

# Debian's packages that are missing for the profiles asked for, one a line.
missing_packages() {
    local profile
    for profile in "${profiles[@]}"; do
        has cc || echo build-essential
        [ "$profile" = build ] && continue
        has_postgres || echo postgresql
        [ "$profile" = server ] && continue
        has pgbouncer || [ -x /usr/sbin/pgbouncer ] || echo pgbouncer
        has_venv || echo python3-venv
        [ "$profile" = bench ] && continue
        has_english || { has localedef && [ -e /usr/share/i18n/locales/en_US ]; } || echo locales
        has node || echo nodejs
        has npm || echo npm
        has_javac || echo default-jdk-headless
        [ -e /usr/share/java/postgresql.jar ] || echo libpostgresql-jdbc-java
    done | sort -u
}

has_english() { locale -a 2>/dev/null | grep -qix 'en_US\.utf-\?8'; }

as_root=()

# The locale of the tests' text orders.
english_locale() {
    has_english && return
    [ "$(id -u)" = 0 ] || ! has sudo || as_root=(sudo)
    say "making the locale en_US.UTF-8"
    "${as_root[@]}" localedef -i en_US -f UTF-8 en_US.UTF-8 </dev/null ||
        say "it can't be made without root: the tests take ICU's English instead"
}

install_packages() {
    local packages=("$@")
    if ! has apt-get; then
        say "missing: ${packages[*]} (names of Debian's packages), and this system has no apt-get."
        say "Install them by your system's own means, then run this again."
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        # Without a terminal nobody could type a password.
        if has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            as_root=(sudo)
        else
            say "missing: ${packages[*]}. Installing them needs root; run this once as root:"
            say "    apt-get update && apt-get install -y ${packages[*]}"
            say "or, so that no PostgreSQL cluster and no service is started by it:"
            say "    $root/docker/deps.sh --system ${profiles[*]}"
            exit 1
        fi
    fi
    say "installing ${packages[*]} (apt-get${as_root[0]:+, through sudo})"
    quietly "${as_root[@]}" apt-get update
    trap restore EXIT
    no_services
    case " ${packages[*]} " in *" postgresql "*) no_main_cluster ;; esac
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
    if has systemctl && [[ " ${packages[*]} " == *" pgbouncer "* ]]; then
        # Its package would start it at every boot, on the port that pgbraid uses.
        "${as_root[@]}" systemctl disable pgbouncer >/dev/null 2>&1 || true
    fi
    restore
    trap - EXIT
}

# Shows what a command says only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1 </dev/null) || {
        printf '%s\n' "$output" >&2
        say "failed: $*"
        exit 1
    }
}

# Packages start their services while they are installed unless this file forbids it (Debian's policy-rc.d).
policy=/usr/sbin/policy-rc.d
made_policy=no
no_services() {
    [ -e $policy ] && return
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    made_policy=yes
}

# The package `postgresql` makes a cluster of its own, `main`, unless its configuration forbids it beforehand.
createcluster=/etc/postgresql-common/createcluster.conf
changed_createcluster=no
no_main_cluster() {
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-common
    if ! grep -q '^ *create_main_cluster' $createcluster 2>/dev/null; then
        echo 'create_main_cluster = false # pgbraid, for the time of its installation' |
            "${as_root[@]}" tee -a $createcluster >/dev/null
        changed_createcluster=yes
    fi
}

restore() {
    [ $made_policy = no ] || "${as_root[@]}" rm -f $policy
    [ $changed_createcluster = no ] || "${as_root[@]}" sed -i '/# pgbraid, for the time/d' $createcluster
    made_policy=no changed_createcluster=no
}

# Installs into a directory if its list has changed since: $1 the list, $2 the mark, then the function to call.
unless_done() {
    local list=$1 mark=$2
    shift 2
    [ -e "$list" ] || return 0
    cmp -s "$list" "$mark" 2>/dev/null && return 0
    mkdir -p "$drivers"
    "$@"
    cp "$list" "$mark"
}

python_drivers() {
    say "installing Python's drivers into target/drivers/venv"
    rm -rf "$drivers/venv"
    quietly python3 -m venv "$drivers/venv"
    quietly "$drivers/venv/bin/pip" install --disable-pip-version-check -r "$root/tests/drivers/python/requirements.txt"
}

node_drivers() {
    say "installing node-postgres into target/drivers/node_modules"
    rm -rf "$drivers/node_modules"
    cp "$root/tests/drivers/node/package.json" "$drivers/package.json"
    quietly npm install --prefix "$drivers" --no-audit --no-fund --ignore-scripts --no-package-lock
}

mapfile -t missing < <(missing_packages)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

case " ${profiles[*]} " in *" test "*) english_locale ;; esac

if [ $system_only = no ] && [[ " ${profiles[*]} " == *" test "* ]]; then
    unless_done "$root/tests/drivers/python/requirements.txt" "$drivers/venv/.requirements" python_drivers
    unless_done "$root/tests/drivers/node/package.json" "$drivers/node_modules/.package" node_drivers
fi
