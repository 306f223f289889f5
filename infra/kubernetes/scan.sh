#!/usr/bin/env bash
# Look for insecure settings in the rendered manifests. checkov needs 200 MB and half a minute, so it has an environment of
# its own, made at the first call, and is no part of `make lint`. What is left out, and why: checkov.yaml beside this, and
# the annotations checkov.io/skip1 in the manifests.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python uv=$PWD/.venv/bin/uv tools=$PWD/.venv/checkov
if ! cmp -s requirements/checkov.txt "$tools/.installed"; then
    "$uv" venv --quiet --allow-existing --python "$python" "$tools"
    VIRTUAL_ENV=$tools "$uv" pip install --quiet --no-deps --requirement requirements/checkov.txt
    cp requirements/checkov.txt "$tools/.installed"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m infra.kubernetes lint --to "$folder"
"$tools/bin/checkov" --config-file infra/kubernetes/checkov.yaml --directory "$folder"
