#!/usr/bin/env bash
# The fast tests with the lowest and then with the newest versions that pyproject.toml allows.
# Arguments go to pytest: tools/versions.sh tests/cli
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/uv"
"$folder/uv/bin/python" -m pip install --quiet uv

for resolution in lowest-direct highest; do
  export VIRTUAL_ENV="$folder/$resolution"
  "$folder/uv/bin/uv" venv --quiet --python "$python" "$VIRTUAL_ENV"
  "$folder/uv/bin/uv" pip install --quiet --resolution "$resolution" -e '.[test]'
  echo "== $resolution"
  "$folder/uv/bin/uv" pip list --quiet | grep -E '^(jax|jaxlib|numpy|optax|pandas|rich|typer) '
  # What old packages do with new ones below them is their affair where it only warns.
  "$VIRTUAL_ENV/bin/python" -m pytest -m 'not slow' -W ignore::DeprecationWarning "$@"
done
