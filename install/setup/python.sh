# Sourced by the commands in install/ and tests/: leaves in $python a Python of at least 3.9, or explains and exits.
# CORRIENTE_PYTHON names one to use instead.
python=
for candidate in ${CORRIENTE_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.9 python}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Corriente needs Python 3.9 or newer to set itself up, and found none on this machine." >&2
    if [ "$(uname -s)" = Darwin ]; then
        echo "Install it with:  brew install python" >&2
    elif command -v dnf >/dev/null 2>&1; then
        echo "Install it with:  sudo dnf install -y python3" >&2
    else
        echo "Install it with:  sudo apt-get update && sudo apt-get install -y python3 python3-venv" >&2
    fi
    exit 1
fi
