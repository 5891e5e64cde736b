# Sourced by the other scripts: gives them $root and, after `prepare EXTRAS`, a $python with mongostore and its extras.
#
# The virtual environment is .venv in the repository; PYTHON, an interpreter, chooses one of its version beside it: .venv-3.x.
# Its stamp files name what pyproject.toml was when it was installed, so that a second run neither installs nor needs a network.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

# Prints 3.x when the interpreter runs and is of the supported range.
version_of() {
    "$1" -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) and print(f"{v[0]}.{v[1]}")' 2>/dev/null || true
}

find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if [ -n "$(version_of "$candidate")" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "mongostore needs Python 3.11, 3.12 or 3.13, and ${PYTHON:-python3} does not run or is none of them:" \
        "install one, or name it, as in PYTHON=python3.12 $0"
    return 1
}

venv=$root/.venv${PYTHON:+-$(version_of "$PYTHON")}
python=$venv/bin/python

# Prints the interpreter of a version, 3.x, of those on the PATH and those of pyenv; fails where it is not installed.
find_version() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if [ "$(version_of "$candidate")" = "$1" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local base
    base=$(find_python)
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$base has no venv module: install it (on Debian and Ubuntu: apt install python3-venv), then run $0 again."
        return 1
    fi
    "$base" -m venv --clear "$venv"
}

# The extras in $1 are installed where a stamp of theirs, or of dev, which contains all, is of this pyproject.toml and place.
is_prepared() {
    local extras
    for extras in dev "$1"; do
        if [ "$(cat "$venv/installed-$extras" 2>/dev/null)" = "$2" ]; then return 0; fi
    done
    return 1
}

install() {
    local log=$venv/install.log
    say "Installing mongostore[$1] into ${venv##*/} (the first time takes a minute) ..."
    rm -f "$venv"/installed-*
    if ! "$python" -m pip install --disable-pip-version-check --no-input --editable "$root[$1]" >"$log" 2>&1; then
        cat "$log" >&2
        say "The installation failed, see above; the log is in ${venv##*/}/install.log."
        return 1
    fi
    printf '%s\n' "$2" >"$venv/installed-$1"
}

# One script at a time: the lock is on pyproject.toml itself, so that no lock file lies about.
prepare() {
    {
        if command -v flock >/dev/null; then flock 9; fi
        local have stamp
        have=$(version_of "$python")
        # Without pip: somebody interrupted the making of it.
        if [ -z "$have" ] || ! "$python" -c 'import pip' 2>/dev/null; then make_venv; fi
        stamp="$(cksum <"$root/pyproject.toml") $root"
        if ! is_prepared "$1" "$stamp"; then install "$1" "$stamp"; fi
    } 9<"$root/pyproject.toml"
}
