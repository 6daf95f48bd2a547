"""`m3jax pilot`: the table it writes, stopping and going on, and what it says when it cannot."""

import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from m3jax import M3Error, RunTable
from m3jax.pilot import (
    PilotDesign,
    Training,
    carry_out,
    prepare,
    read_card,
    read_pilot_config,
    read_rows,
    recipes_from,
    seed_noise,
)

from ..conftest import call, made_up_text, ok

CONFIG = """
output = "{output}"
source = "source.txt"
budget = 1.2e9
runs = 8
ensemble = 2
[targets]
Target = "target.txt"
[training]
length = 16
[design]
target_tokens = [512, 1e6]
repeat_every = 4
compute_span = 2
"""
# The same models, too small to be of use, wherever the command runs.
PATCH = """
from m3jax.pilot import _design, _model
_model._LADDER, _design._FEWEST_STEPS = ((1, 16),), 4
from m3jax.cli import main
main()
"""


@pytest.fixture(autouse=True, scope="module")
def short_runs_of_one_size():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("m3jax.pilot._model._LADDER", ((1, 16),))
        patch.setattr("m3jax.pilot._design._FEWEST_STEPS", 4)
        yield


def write_inputs(folder):
    (folder / "target.txt").write_text(made_up_text(0, "abcdefghijklm"))
    (folder / "source.txt").write_text(made_up_text(1, "nopqrstuvwxyz"))
    (folder / "pilot.toml").write_text(CONFIG.format(output=folder / "runs.csv"))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_inputs(tmp_path)


def planned(folder, **options):
    settings = read_pilot_config(folder / "pilot.toml") | options
    settings.pop("ensemble")
    return prepare(**settings)


def carried_out(plan, **options):
    return carry_out(plan, ensemble=2, workers=1, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A table written in one go, and what the command said."""
    folder = write_inputs(tmp_path_factory.mktemp("pilot"))
    return folder, ok("pilot", folder / "pilot.toml")  # two ensembles at a time


def test_the_table_is_a_run_table(finished):
    folder, said = finished
    runs = RunTable.read(folder / "runs.csv")
    assert len(runs) == 8
    assert runs.notes == ()
    assert runs.languages == ("Target",)
    assert len(set(runs.run_id)) == 8
    assert np.all(runs.loss < math.log(256))
    assert np.any(runs.recipe.is_two_stage)
    with open(folder / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert int(row["total_tokens"]) == int(row["steps"]) * int(row["batch"]) * 16
        seen = float(row["epochs"]) * int(row["target_tokens"])
        assert seen == pytest.approx(round(seen))
        assert seen == pytest.approx(float(row["target_ratio"]) * int(row["total_tokens"]))
        assert 0 < float(row["source_loss"]) < 20
    card = json.loads((folder / "runs.pilot.json").read_text())["Target"]
    assert card["setup"] == rows[0]["setup"]
    assert card["target"]["held_out_tokens"] > 0
    assert "8 of 8 runs (8 trained now" in said.out
    noise, freedom = seed_noise(rows)["Target"]
    assert freedom == 2
    assert f"seeds differ by {noise:.2%}" in said.out


def test_a_finished_table_is_left_alone(finished):
    folder, _ = finished
    before = (folder / "runs.csv").read_bytes()
    said = ok("pilot", folder / "pilot.toml", "--json").json
    assert (said["trained"], said["kept"], said["planned"]) == (0, 8, 8)
    assert (folder / "runs.csv").read_bytes() == before


def test_a_stopped_pilot_goes_on_to_the_same_table(finished, folder):
    (folder / "target.txt").write_bytes((finished[0] / "target.txt").read_bytes())

    def stop(stage, done, total):
        if done > total / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(planned(folder), progress=stop)
    begun = RunTable.read(folder / "runs.csv")
    assert 0 < len(begun) < 8
    outcome = carried_out(planned(folder))
    assert (outcome.kept, outcome.trained) == (len(begun), 8 - len(begun))
    assert (folder / "runs.csv").read_bytes() == (finished[0] / "runs.csv").read_bytes()


def test_a_killed_pilot_goes_on_to_the_same_table(finished, folder):
    command = [sys.executable, "-c", PATCH, "pilot", str(folder / "pilot.toml")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "runs.csv").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(RunTable.read(folder / "runs.csv")) > 0
    ok("pilot", folder / "pilot.toml")
    assert (folder / "runs.csv").read_bytes() == (finished[0] / "runs.csv").read_bytes()


@pytest.mark.parametrize("place", [0, 6])
def test_ctrl_c_says_how_many_runs_are_kept(folder, monkeypatch, place):
    """At the first writing, and when the table is written again."""
    count, fsync = iter(range(1000)), os.fsync

    def interrupt(handle):
        if next(count) == place:
            raise KeyboardInterrupt
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        result = call("pilot", folder / "pilot.toml", "--json")
    kept = len(read_rows(folder / "runs.csv"))
    assert (kept > 0) == (place > 0)
    line = f"{kept} of 8 runs are kept in {folder}/runs.csv; the same command goes on from there"
    assert (result.code, result.out) == (130, "")
    assert result.err == f"m3jax: error: interrupted: {line}\n"
    assert ok("pilot", folder / "pilot.toml", "--json").json["kept"] == kept


ADDED = """
import os, sys
from pathlib import Path
from m3jax.pilot import _table
table, children = Path(sys.argv[1]), []
for number in range(2):
    children.append(os.fork())
    if not children[-1]:
        for i in range(20):
            row = dict.fromkeys(_table.COLUMNS, "1") | {"run_id": f"{number}-{i}"}
            _table.add_rows(table, [row], {})
            _table.add_to_card(table, {f"{number}-{i}": {}})
        os._exit(0)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_two_processes_that_add_to_one_table_lose_no_run(tmp_path):
    table = tmp_path / "runs.csv"
    code = [sys.executable, "-W", "ignore", "-c", ADDED, str(table)]
    subprocess.run(code, check=True, timeout=120)
    both = {f"{number}-{i}" for number in range(2) for i in range(20)}
    assert {row["run_id"] for row in read_rows(table)} == both
    assert set(read_card(table)) == both


def test_a_full_disk_keeps_finished_runs(folder, monkeypatch):
    plan, left = planned(folder), [2]  # the card and one ensemble

    def full(path, mode):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return open(path, mode)

    monkeypatch.setattr("m3jax._writing._disk.open", full, raising=False)
    with pytest.raises(M3Error, match=r"runs\.csv: cannot be written: No space left on device"):
        carried_out(plan)
    monkeypatch.undo()
    before = len(RunTable.read(folder / "runs.csv"))
    assert before in (1, 2)
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".")) == []
    assert carried_out(planned(folder)).kept == before


def test_a_folder_that_cannot_be_written_to_is_told_first(folder, monkeypatch):
    (folder / "file").write_text("x")
    with pytest.raises(M3Error, match=r"runs\.csv: cannot be written: .*file is not a folder"):
        planned(folder, output=folder / "file" / "runs.csv")
    for name in ("runs.csv", "runs.pilot.json"):
        (folder / "taken" / name).mkdir(parents=True)
        with pytest.raises(M3Error, match=f"{name}: is a folder, expected a file name"):
            planned(folder, output=folder / "taken" / "runs.csv", source="not read before")
        (folder / "taken" / name).rmdir()

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr("m3jax._writing._disk.open", refused, raising=False)
    plan = planned(folder)
    monkeypatch.setattr(
        "m3jax.pilot._run.train", lambda *_, **__: pytest.fail("trained for nothing")
    )
    with pytest.raises(M3Error, match=r"runs\.pilot\.json: cannot be written"):
        carried_out(plan)


def test_other_texts_or_settings_do_not_mix(finished, folder):
    table = finished[0] / "runs.csv"
    with pytest.raises(
        M3Error, match=r"has runs of Target made in another way .rate = 0\.0045, not"
    ):
        planned(finished[0], training=Training(length=16, rate=0.01))
    (folder / "target.txt").write_text(made_up_text(5, "abcdefghijklm"))
    with pytest.raises(M3Error, match=r"made in another way .target = .*name another output"):
        planned(folder, output=table)
    # Another language may stand beside it, and more runs of the same.
    assert planned(folder, output=table, targets={"Other": folder / "target.txt"})
    more = planned(finished[0], budget=2.4e9, runs=16)
    assert set(planned(finished[0]).run_ids) <= set(more.run_ids)


def test_other_files_are_not_overwritten(folder):
    (folder / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(M3Error, match="is not a table of `m3jax pilot`"):
        planned(folder)
    with pytest.raises(M3Error, match=r"expected a file name ending in \.csv"):
        planned(folder, output=folder / "runs.json")


def test_a_damaged_table_is_told(finished, folder):
    lines = (finished[0] / "runs.csv").read_text().splitlines()
    (folder / "runs.csv").write_text("\n".join([*lines[:3], lines[3][:40]]))
    with pytest.raises(M3Error, match=r"runs\.csv, row 3: found \d cells, expected 22"):
        planned(folder)
    (folder / "runs.csv").unlink()
    (folder / "runs.pilot.json").write_text("[1")
    with pytest.raises(M3Error, match=r"runs\.pilot\.json: not what m3jax wrote there"):
        planned(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("target.txt", "", "target.txt: the file is empty"),
        ("source.txt", " \n", "source.txt: the file is empty"),
        ("target.txt", "short", "target.txt: 5 tokens, shorter than one window of 16"),
        ("source.txt", made_up_text(0, "abcdefghijklm"), "100% of the first is in the second"),
    ],
)
def test_texts_that_will_not_do_are_one_line(folder, name, content, message):
    (folder / name).write_text(content)
    result = call("pilot", folder / "pilot.toml")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert not (folder / "runs.csv").exists()


def test_bytes_that_are_not_text_will_do(folder):
    rng = np.random.default_rng(0)
    for name in ("target.txt", "source.txt"):
        (folder / name).write_bytes(rng.integers(0, 256, 20_000).astype(np.uint8).tobytes())
    assert len(planned(folder).trials) == 8


def test_runs_that_diverge_are_not_in_the_table(folder):
    plan = planned(folder, training=Training(length=16, rate=1e30))
    outcome = carried_out(plan)
    assert outcome.trained == 0
    assert set(outcome.diverged) == set(plan.run_ids)
    assert (folder / "runs.csv").read_text().count("\n") == 1


def test_minutes_are_measured_once(folder, monkeypatch):
    monkeypatch.setattr("m3jax.pilot._plan.flop_per_second", lambda *_: 2.5e7)
    settings = {"budget": None, "minutes": 1.0, "runs": 4}
    first = planned(folder, **settings)
    assert first.cards["Target"]["plan"]["budget"] == pytest.approx(1.2e9)
    carried_out(first)
    monkeypatch.setattr(
        "m3jax.pilot._plan.flop_per_second", lambda *_: pytest.fail("measured again")
    )
    assert planned(folder, **settings).run_ids == first.run_ids
    with pytest.raises(M3Error, match="minutes: expected a positive finite number"):
        planned(folder, budget=None, minutes=0.0)


def test_the_plan_can_be_seen_without_training(folder):
    text = folder / "target.txt", folder / "source.txt"
    options = ("--language", "X", "-o", folder / "new.csv", "--budget", "2e13", "--dry-run")
    assert "runs, " in ok("pilot", *text, *options).out
    shown = ok("pilot", *text, *options, "--json").json
    assert sum(group["runs"] for group in shown["groups"]) == shown["runs"]
    assert shown["compute"] <= 2e13
    assert not (folder / "new.csv").exists()


def test_given_recipes_are_trained(folder):
    (folder / "best.csv").write_text(
        "language,compute,feasible,n_params,target_tokens,epochs,target_ratio,final_ratio,regime\n"
        "Target,1e8,True,7000,4096,1.5,0.5,0.8,two\nTarget,1e8,False,,4096,,,,\n"
        "Other,1e8,True,7000,4096,1.5,0.5,0.8,two\n"
    )
    said = ok(
        "pilot", folder / "pilot.toml", "--recipes", folder / "best.csv", "--seeds", 2, "--json"
    ).json
    assert (said["trained"], said["repeats"]) == (2, {"Target": 1})
    runs = RunTable.read(folder / "runs.csv")
    assert runs.seed.tolist() == [0, 1]
    assert runs.recipe.target_tokens.tolist() == [4096, 4096]
    np.testing.assert_allclose(runs.recipe.final_ratio, 0.8, rtol=0.02)
    with pytest.raises(M3Error, match="no recipe for 'Third', only for 'Other', 'Target'"):
        recipes_from(folder / "best.csv")("Third")


def test_a_sheet_says_which_seeds(folder):
    sheet = folder / "sheet.csv"
    sheet.write_text(
        "language,run_id,n_params,target_tokens,epochs,target_ratio,loss,seed\n"
        "Target,a,7000,4096,1.5,0.5,,7\nTarget,a-again,7000,4096,1.5,0.5,,9\nOther,b,7000,4096,1,0.5,,8\n"
    )
    trials = planned(folder, budget=None, recipes=sheet, seeds=5).trials
    assert [trial.seed for trial in trials] == [7, 9]
    sheet.write_text("n_params,target_tokens,epochs,seed\n7000,4096,1,\n7000,4096,1,-1\n")
    with pytest.raises(M3Error, match=r"sheet.csv, row 1, column 'seed': .*whole number from 0"):
        planned(folder, budget=None, recipes=sheet)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{f}/target.txt",), "expected TARGET SOURCE --language NAME -o runs.csv"),
        (("{f}/pilot.toml", "{f}/source.txt"), "give no SOURCE or --language"),
        (
            ("{f}/target.txt", "{f}/source.txt", "-l", "X", "-o", "{f}/new.csv"),
            "expected one of --budget, --minutes and --recipes",
        ),
        (
            ("{f}/target.txt", "{f}/source.txt", "-l", "X ", "-o", "{f}/new.csv", "--budget", "1"),
            "language 'X ': expected a name without blanks around it",
        ),
        (("{f}/pilot.toml", "--seed", "-1"), "--seed: expected a whole number >= 0"),
        (("{f}/pilot.toml", "--max-overlap", "nan"), "--max-overlap: expected a number from 0"),
        (("{f}/pilot.toml", "--budget", "1", "--minutes", "1"), "expected one of --budget"),
        (("{f}/pilot.toml", "--budget", "many"), "--budget: expected a number"),
        (("{f}/pilot.toml", "--budget", "10"), "too small for a single run: expected at least"),
        (("{f}/pilot.toml", "--runs", "0"), "runs: expected a whole number >= 1"),
        (("{f}/pilot.toml", "--precision", "float64"), "precision: expected 'float32' or"),
        (("{f}/pilot.toml", "--tokenizer", "{f}/none.json"), "none.json"),
        (("{f}/none.toml",), "none.toml: no such file"),
    ],
)
def test_mistakes_are_one_line(folder, arguments, message):
    result = call("pilot", *(part.format(f=folder) for part in arguments))
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("runz = 3", "unknown key 'runz'; did you mean 'runs'"),
        ("runs = 1.5", "runs: expected a whole number, found 1.5"),
        ("[design]\nepochs = 3", "epochs: expected a pair"),
        ("[training]\nrates = 3", "unknown key 'rates'; did you mean 'rate'"),
        ("", "needs 'output'"),
    ],
)
def test_mistakes_in_the_configuration_are_told(tmp_path, line, message):
    (tmp_path / "pilot.toml").write_text(line)
    with pytest.raises(M3Error, match=message):
        read_pilot_config(tmp_path / "pilot.toml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"design": PilotDesign(stage_fraction=(0.1, 0.8))}, "stage_fraction: expected 0.2"),
        ({"seeds": 0}, "seeds: expected a whole number >= 1"),
        ({"runs": 0}, "runs: expected a whole number >= 1"),
        ({"targets": {}}, "at least one target text"),
        ({"minutes": 1.0}, "one of a budget, minutes or recipes"),
    ],
)
def test_settings_out_of_range_are_refused(folder, settings, message):
    with pytest.raises(M3Error, match=message):
        planned(folder, **settings)


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (PilotDesign, {"epochs": (3, 1)}, "epochs: expected 0 < low <= high"),
        (PilotDesign, {"monolingual": 0.7}, "monolingual, two_stage: expected shares"),
        (PilotDesign, {"first_shares": (1.0,)}, "first_shares: expected 0 <= share < 1"),
        (PilotDesign, {"target_ratio": (0.1, 2.0)}, "target_ratio: expected 0 < low <= high <= 1"),
        (PilotDesign, {"compute_span": 1.0}, "compute_span: expected a number above 1"),
        (PilotDesign, {"repeat_every": 1}, "repeat_every: expected a whole number >= 2"),
        (Training, {"length": 4}, "length: expected a whole number >= 8"),
        (Training, {"batch": 0}, "batch: expected a whole number >= 1"),
        (Training, {"rate": math.nan}, "rate: expected a positive finite number"),
        (Training, {"decay_fraction": 1.1}, "decay_fraction: expected a number from 0 to 1"),
    ],
)
def test_training_and_design_out_of_range_are_refused(options, values, message):
    with pytest.raises(M3Error, match=message):
        options(**values)


def test_a_tokenizer_needs_its_package(folder, monkeypatch):
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(M3Error, match=r"need the package tokenizers: pip install 'm3jax\[pilot\]'"):
        planned(folder, tokenizer=folder / "tokenizer.json")


def test_a_tokenizer_makes_the_tokens(folder):
    tokenizers = pytest.importorskip("tokenizers")
    known = {letter: i for i, letter in enumerate("?abcdefghijklmnopqrstuvwxyz ")}
    model = tokenizers.models.WordLevel(known, unk_token="?")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    made.save(str(folder / "tokenizer.json"))
    plan = planned(folder, tokenizer=folder / "tokenizer.json")
    assert plan.trials[0].shape.vocabulary == 28
    target, _ = plan.corpora["Target"]
    letters = (folder / "target.txt").read_text()
    assert target.text.tokens.tolist() == [known[letter] for letter in letters]
    assert target.text.tokens.dtype == np.uint16
    (folder / "target.txt").write_bytes(b"\xff\xfe" * 1000)
    with pytest.raises(M3Error, match=r"target.txt: a tokenizer needs UTF-8 text, found other byt"):
        planned(folder, tokenizer=folder / "tokenizer.json")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(M3Error, match=r"tokenizer.json: not a tokenizer file"):
        planned(folder, tokenizer=folder / "tokenizer.json")
