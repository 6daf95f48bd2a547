#!/usr/bin/env bash
# The wheel alone, as users install it: by each Python, with the lowest and then with the newest
# versions that pyproject.toml allows, the quickstart in an empty folder, and the fast tests against
# what is installed. PYTHONS and RESOLUTIONS choose some, arguments go to pytest:
# PYTHONS=python3.12 RESOLUTIONS=highest tools/wheel.sh tests/cli
set -euo pipefail
cd "$(dirname "$0")/.."

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache" # nothing compiled before
unset PYTHONPATH
python3 -m venv "$folder/uv"
"$folder/uv/bin/python" -m pip install --quiet uv
uv() { "$folder/uv/bin/uv" --quiet --cache-dir "${UV_CACHE_DIR:-$HOME/.cache/uv}" "$@"; }
uv build --wheel --out-dir "$folder/wheel"
wheel="$(echo "$folder"/wheel/*.whl)"

# All of the project but the package, in whose place the tests find the one that is installed.
mkdir "$folder/project"
git ls-files -z --cached --others --exclude-standard -- ':!m3jax' |
  xargs -0 cp --parents -t "$folder/project"

for python in ${PYTHONS:-python3.11 python3.12 python3.13}; do
  for resolution in ${RESOLUTIONS:-lowest-direct highest}; do
    environment="$folder/environment"
    uv venv --clear --python "$python" "$environment"
    # Of the lowest, those that need no compiler.
    uv pip compile --python "$python" --resolution "$resolution" --only-binary :all: \
      --upgrade --extra test pyproject.toml --output-file "$folder/versions.txt"
    install=(pip install --python "$environment" --constraints "$folder/versions.txt")
    uv "${install[@]}" "$wheel"
    mkdir "$folder/empty"
    (cd "$folder/empty" && PATH="$environment/bin:$PATH" &&
      m3jax example --quiet && m3jax run quickstart.toml --quiet >/dev/null &&
      test -s out/quickstart/report.html)
    rm -r "$folder/empty"
    echo "== $("$environment/bin/python" --version), $resolution: the quickstart runs"
    uv "${install[@]}" "$wheel[test]"
    "$folder/uv/bin/uv" pip list --python "$environment" 2>/dev/null |
      grep -E '^(jax|numpy|scipy|optax|pandas|rich|typer) ' | tr -s ' \n' ' '
    echo
    ln -sfn "$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/m3jax" \
      "$folder/project/m3jax"
    # What old packages do with new ones below them is their affair where it only warns.
    (cd "$folder/project" &&
      "$environment/bin/python" -m pytest -m 'not slow' -W ignore::DeprecationWarning "$@")
  done
done
