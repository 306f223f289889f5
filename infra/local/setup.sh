#!/usr/bin/env bash
# Makes .venv and installs the pinned packages with uv: nothing to do if both are as they should be.
#
#   infra/local/setup.sh                the build of torch that is there; at first, the CPU build
#   TORCH=cu130 infra/local/setup.sh    a CUDA build, by uv's name for it
#   TORCH=cpu infra/local/setup.sh      back again
#
# A find-links that pip is configured with (variable or file) holds for uv as well; without one, uv takes torch from
# the index of its CPU builds.
set -euo pipefail
cd "$(dirname "$0")/../.."
stamp=.venv/.installed
before=$(sed -n 's/.* torch=//p' "$stamp" 2>/dev/null || true)
torch=${TORCH:-${before:-cpu}}
wanted="$(cat requirements/*.txt pyproject.toml | cksum) torch=$torch"
if [ -x .venv/bin/har ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

python=""
for candidate in "${PYTHON:-}" "python$(cat .python-version)" python3.11 python3.12 python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: expected Python 3.11 or 3.12 on the PATH, but got none. Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
version=$(sed -n 's/^uv==//p' requirements/dev.txt)
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
.venv/bin/uv --version 2>/dev/null | grep -qF "uv $version" || .venv/bin/python -m pip install --quiet "uv==$version"
uv=.venv/bin/uv

links=${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || "$python" -m pip config get install.find-links 2>/dev/null || true)}
if [ -n "$links" ] && [ -z "${UV_FIND_LINKS:-}" ]; then
    read -r -d '' -a folders <<<"$links" || true
    UV_FIND_LINKS=$(IFS=, && echo "${folders[*]}")
    export UV_FIND_LINKS
fi

echo "setup: installing $(grep -c == requirements/dev.txt) pinned packages into .venv (torch: $torch)"
export VIRTUAL_ENV="$PWD/.venv"
# The pinned list is complete, so nothing is resolved here and no package can pull in a CUDA build on its own.
"$uv" pip install --quiet --compile-bytecode --no-deps --requirement <(grep -v '^torch==' requirements/dev.txt)
pin=$(grep '^torch==' requirements/dev.txt)
# Either build satisfies the pin, so the one that was asked for before has to make room.
[ "${before:-$torch}" = "$torch" ] || "$uv" pip uninstall --quiet torch
if [ "$torch" != cpu ]; then
    "$uv" pip install --quiet --torch-backend "$torch" "$pin"
elif [ -n "${UV_FIND_LINKS:-}" ] && "$uv" pip install --quiet --no-deps --no-index "$pin" 2>/dev/null; then
    :
else
    "$uv" pip install --quiet --no-deps --torch-backend cpu "$pin"
fi
"$uv" pip install --quiet --no-deps --editable .
# Copier, DVC and the linters of workflows and images are tools of their own: their needs and ours do not have to agree.
"$uv" venv --quiet --allow-existing --python .venv/bin/python .venv/tools
for list in requirements/tools.txt requirements/test-tools.txt; do
    [ ! -e "$list" ] || VIRTUAL_ENV="$PWD/.venv/tools" "$uv" pip install --quiet --no-deps --requirement "$list"
done
rm -rf .venv/copier

if [ "$torch" = cpu ] && [ "$(uname -s)" = Linux ] && ! .venv/bin/python -c 'import torch; assert torch.version.cuda is None' 2>/dev/null; then
    echo "setup: expected the CPU build of torch, but got another. Remove .venv and name a folder with a CPU wheel in PIP_FIND_LINKS, or ask for CUDA: make setup TORCH=cu130" >&2
    exit 1
fi
echo "$wanted" >"$stamp"
echo "setup: done. Once per shell: source .venv/bin/activate; then 'har --help' lists the commands"
