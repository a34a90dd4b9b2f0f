#!/bin/sh
# Prints the path of a Python that can run the package (3.11 or newer), or says what to do and fails.
# $PYTHON, when set, is the only candidate.
set -eu

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -n "${PYTHON:-}" ]; then
    if fits "$PYTHON"; then command -v "$PYTHON"; exit 0; fi
    echo "error: PYTHON=$PYTHON is not a Python 3.11 or newer" >&2
    exit 1
fi
for name in python3 python3.13 python3.12 python3.11 python3.14; do
    if fits "$name"; then command -v "$name"; exit 0; fi
done
echo "error: no Python 3.11 or newer found: install one (Debian 12, Ubuntu 24.04: apt-get install python3" \
    "python3-venv; Ubuntu 22.04: python3.11-venv), or name it with make PYTHON=/path/to/python3" >&2
exit 1
