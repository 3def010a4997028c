#!/bin/sh
# Prints the Python to build the virtual environment with, or says what is missing and how to get it.
# In sh, because on the machine where this matters most there may be no Python to run anything else.
set -u

suitable='import sys; sys.exit(sys.version_info < (3, 11))'
complete='import ensurepip, venv'
found=""      # what there is, for the message
incomplete="" # new enough, but cannot make a virtual environment

for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
    path=$(command -v "$name" 2>/dev/null) || continue
    version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    found="$found $path ($version)"
    "$path" -c "$suitable" 2>/dev/null || continue
    if "$path" -c "$complete" 2>/dev/null; then
        echo "$path"
        exit 0
    fi
    incomplete="${incomplete:-$version}"
done

{
    if [ -n "$incomplete" ]; then
        echo "Python $incomplete is here, but the part that makes virtual environments is not."
        echo "  Debian, Ubuntu:  sudo apt-get install python$incomplete-venv"
    else
        echo "Darkroom needs Python 3.11 or newer. Found:${found:- none}."
        echo "  Debian 12+, Ubuntu 24.04+:  sudo apt-get install python3 python3-venv"
        echo "  Fedora:                     sudo dnf install python3"
        echo "  Elsewhere:                  uv python install 3.12, or pyenv install 3.12"
        echo "A Python in another place: make install PYTHON=/path/to/python3.12"
    fi
} >&2
exit 1
