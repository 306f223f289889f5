#!/usr/bin/env bash
# Lint what Python's linters do not read: workflows, GitLab's files, dependabot, Dockerfiles, compose files, manifests for
# Kubernetes and shell scripts. What a project does not have is left out. All linters run at once; each prints only what is wrong.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/../.."
tools=$PWD/.venv/tools/bin
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
names=() pids=()

lint() { # NAME COMMAND...: run it beside the others
    local name=$1
    shift
    "$@" >"$logs/$name" 2>&1 &
    names+=("$name") pids+=($!)
}

workflows=(.github/workflows/*.y*ml)
actions=(.github/actions/*/action.y*ml)
gitlab=(.gitlab-ci.yml .gitlab/*.y*ml template/.gitlab/*.y*ml)
[ -e .gitlab-ci.yml ] || unset 'gitlab[0]'
dockerfiles=(infra/images/*Dockerfile*)
rules=(infra/observability/rules/*.y*ml)
prometheus=(infra/compose/prometheus/*.y*ml)
mapfile -t scripts < <(grep -rlIE '^#!.*[/ ](ba)?sh$' .ci .devcontainer infra 2>/dev/null || true)

# actionlint reads the scripts inside of steps with the shellcheck that it is given.
if [ ${#workflows[@]} -gt 0 ]; then
    lint actionlint "$tools/actionlint" -no-color -shellcheck "$tools/shellcheck" "${workflows[@]}"
    lint zizmor "$tools/zizmor" --offline --quiet --no-progress --color=never .github
fi
lint schemas "$tools/python" infra/delivery/schemas.py \
    vendor.github-workflows "${workflows[@]}" -- vendor.github-actions "${actions[@]}" -- \
    vendor.dependabot .github/dependabot.y*ml -- vendor.gitlab-ci "${gitlab[@]}" -- \
    vendor.compose-spec infra/compose/*compose*.y*ml
[ ! -e infra/kubernetes/__main__.py ] || lint kubernetes .venv/bin/python -m infra.kubernetes lint
[ ${#dockerfiles[@]} -eq 0 ] || lint hadolint "$tools/hadolint" --no-color "${dockerfiles[@]}"
[ ${#scripts[@]} -eq 0 ] || lint shellcheck "$tools/shellcheck" --color=never "${scripts[@]}"
# Prometheus's own tool, where it is installed: rules of alerts, and what the stack's Prometheus is started with.
if command -v promtool >/dev/null; then
    [ ${#rules[@]} -eq 0 ] || lint rules promtool check rules "${rules[@]}"
    [ ${#prometheus[@]} -eq 0 ] || lint prometheus promtool check config "${prometheus[@]}"
fi

status=0
for i in "${!pids[@]}"; do
    wait "${pids[$i]}" || {
        status=1
        echo "lint: ${names[$i]}" >&2
        cat "$logs/${names[$i]}" >&2
    }
done
exit $status
