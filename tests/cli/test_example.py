"""`m3jax example` and `m3jax doctor`: what a newcomer types first."""

import subprocess
import sys
import tomllib

from ..conftest import ROOT, call, ok


def test_the_quickstart_without_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ok("example")
    assert "next: m3jax run quickstart.toml" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"quickstart.toml", "pilot_debian.csv"}
    again = call("example")
    assert again.code == 2
    assert "quickstart.toml: is there already" in again.err
    (tmp_path / "quickstart.toml").write_text("mine")
    ok("example", "--overwrite")
    assert (tmp_path / "quickstart.toml").read_text() != "mine"
    ok("fit", "pilot_debian.csv", "--draws", 0, "-o", "fits.json")


def test_it_is_the_quickstart_of_the_repository():
    shipped = tomllib.loads((ROOT / "m3jax" / "data" / "quickstart.toml").read_text())
    known = tomllib.loads((ROOT / "configs" / "quickstart.toml").read_text())
    assert known["runs"].pop("path") == "../m3jax/data/pilot_debian.csv"
    assert shipped["runs"].pop("path") == "pilot_debian.csv"
    assert shipped == known


def test_the_package_is_a_command_and_knows_a_short_help():
    done = subprocess.run(
        [sys.executable, "-m", "m3jax", "fit", "-h"], capture_output=True, text=True, check=True
    )
    assert "Usage: m3jax fit" in done.stdout


def test_doctor_checks_what_there_is(monkeypatch):
    done = ok("doctor")
    lines = done.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok    versions", "ok    extras", "ok    devices", "ok    compiled code", "ok    a fit"
    ]  # fmt: skip
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in lines[0]
    monkeypatch.setattr("m3jax.fitting.fit", None)
    broken = call("doctor", "--json")
    assert broken.code == 1
    assert broken.json["a fit"]["works"] is False
    assert broken.json["versions"]["works"] is True
