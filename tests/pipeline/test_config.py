"""The configuration: what is read, how paths resolve, and every way to get it wrong."""

from pathlib import Path

import pytest

from m3jax import HOLDOUTS, M3Error, RunTable, list_laws
from m3jax.pipeline import read_config

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.toml"

SMALL = """
[runs]
path = "runs.csv"

[optimize]
compute = 1e20
target_tokens = [30_000_000, 1e8]
"""


@pytest.fixture
def write(tmp_path):
    """Write a configuration of that text and return its path."""

    def write(text: str, name: str = "study.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_quickstart_is_read():
    config = read_config(QUICKSTART)
    assert config.title.startswith("Quickstart")
    assert config.output == Path("out/quickstart")
    runs = RunTable.read(config.runs_path, **config.runs)
    assert set(runs.languages) == {"Indonesian", "Japanese", "German", "French"}
    assert config.fit["law"] in list_laws()
    assert set(config.compare["laws"]) <= set(list_laws())
    assert set(config.compare["holdouts"]) <= set(HOLDOUTS)
    assert len(config.optimize["compute"]) * len(config.optimize["target_tokens"]) > 1


def test_defaults(write):
    path = write(SMALL)
    config = read_config(path)
    assert config.title == "study"
    assert config.output == Path("out/study")
    assert config.runs_path == path.parent / "runs.csv"
    assert config.runs == {}
    assert config.fit == {}
    assert config.compare is None
    assert config.optimize == {"compute": (1e20,), "target_tokens": [30_000_000, 1e8]}


def test_every_key_is_handed_on(write):
    path = write("""
title = "A title"
output = "somewhere/else"
[runs]
path = "runs.csv"
columns = { n_params = "params" }
units = { n_params = "M", loss = 0.5 }
where = ["State=finished", "seed<3"]
skip_incomplete = true
last_checkpoint = true
keep_best = true
drop_highest = 3
[fit]
law = "chinchilla"
fixed = { alpha = 0.35, beta = 1 }
huber_delta = 0.01
starts = 4
draws = 8
level = 0.8
prior = "none"
seed = 7
precision = "float32"
engine = "host"
[compare]
laws = ["m3", "chinchilla"]
holdouts = ["compute"]
fraction = 0.3
[optimize]
compute = [1e19, 1e20]
target_tokens = 1e8
languages = ["Icelandic"]
n_params = [1e7, 1e9]
epochs = [1, 32]
target_ratio = [0.1, 1]
final_ratio = [0.1, 1.0]
stage_fraction = [0.1, 0.5]
first_share = 0
max_total_tokens = 1e10
max_source_tokens = 1e11
extrapolate = 20
draws = 5
level = 0.5
""")
    config = read_config(str(path))
    assert config.title == "A title"
    assert config.output == Path("somewhere/else")
    assert config.runs == {
        "columns": {"n_params": "params"},
        "units": {"n_params": "M", "loss": 0.5},
        "where": ("State=finished", "seed<3"),
        "skip_incomplete": True,
        "last_checkpoint": True,
        "keep_best": True,
        "drop_highest": 3,
    }
    assert config.fit == {
        "law": "chinchilla",
        "fixed": {"alpha": 0.35, "beta": 1},
        "huber_delta": 0.01,
        "starts": 4,
        "draws": 8,
        "level": 0.8,
        "prior": "none",
        "seed": 7,
        "precision": "float32",
        "engine": "host",
    }
    assert config.compare == {
        "laws": ("m3", "chinchilla"),
        "holdouts": ("compute",),
        "fraction": 0.3,
    }
    assert config.optimize == {
        "compute": (1e19, 1e20),
        "target_tokens": 1e8,
        "languages": ("Icelandic",),
        "n_params": (1e7, 1e9),
        "epochs": (1, 32),
        "target_ratio": (0.1, 1),
        "final_ratio": (0.1, 1.0),
        "stage_fraction": (0.1, 0.5),
        "first_share": 0,
        "max_total_tokens": 1e10,
        "max_source_tokens": 1e11,
        "extrapolate": 20,
        "draws": 5,
        "level": 0.5,
    }


def test_the_run_table_is_found_from_the_configuration_and_the_output_from_here(
    write, tmp_path, monkeypatch
):
    path = write(SMALL.replace("runs.csv", "../runs.csv"), "configs/study.toml")
    monkeypatch.chdir(tmp_path)
    config = read_config(path.relative_to(tmp_path))
    assert config.runs_path.resolve() == tmp_path / "runs.csv"
    assert not config.output.is_absolute()
    absolute = tmp_path / "elsewhere" / "runs.csv"
    assert read_config(write(SMALL.replace("runs.csv", str(absolute)))).runs_path == absolute


# What is refused


def refused(path: Path) -> str:
    with pytest.raises(M3Error) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_files_that_cannot_be_read(write, tmp_path):
    assert refused(tmp_path / "nothing.toml") == "no such file"
    assert refused(tmp_path).startswith("cannot be read")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "Íslenska"'.encode("latin-1"))
    assert refused(latin).startswith("cannot be read")
    assert refused(write("[runs\npath = 1")).startswith("not valid TOML")
    assert refused(write(SMALL + "\n[runs]\npath = 'twice.csv'")).startswith("not valid TOML")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("titel = 'x'\n" + SMALL, "unknown key 'titel'; did you mean 'title'?"),
        ("optimise = 'x'\n" + SMALL, "unknown key 'optimise'; did you mean 'optimize'?"),
        (SMALL + "[optimise]\nx = 1", "unknown key 'optimise'; did you mean 'optimize'?"),
        (
            "zzzz = 1\n" + SMALL,
            "unknown key 'zzzz'; known: title, output, overwrite, figures, runs, fit, compare,"
            " optimize, next",
        ),
        (SMALL + "epoch = [1, 2]", "[optimize] unknown key 'epoch'; did you mean 'epochs'?"),
        (SMALL + "[fit]\nlaws = 'm3'", "[fit] unknown key 'laws'; did you mean 'law'?"),
        (SMALL + "[runs.column]\nloss = 'x'", "[runs] unknown key 'column'; did you mean"),
        (
            SMALL + "[compare]\nlaws = ['m3']\nqqqq = 1",
            "[compare] unknown key 'qqqq'; known: laws, holdouts, fraction",
        ),
    ],
)
def test_unknown_keys(write, text, words):
    assert refused(write(text)).startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = 5\n" + SMALL, "title: expected text, found 5"),
        ("output = ['x']\n" + SMALL, "output: expected text, found ['x']"),
        ("fit = 'm3'\n" + SMALL, "[fit]: expected a section, found 'm3'"),
        (SMALL.replace('"runs.csv"', "5"), "[runs] path: expected text, found 5"),
        (SMALL + "[fit]\nlaw = 3", "[fit] law: expected text, found 3"),
        (SMALL + "[fit]\nhuber_delta = 'small'", "huber_delta: expected a number, found 'small'"),
        (SMALL + "[fit]\nhuber_delta = true", "huber_delta: expected a number, found True"),
        (SMALL + "[fit]\nstarts = 4.0", "starts: expected a whole number, found 4.0"),
        (SMALL.replace("runs.csv", r"a\u0000b"), r"path: expected a file name, found 'a\x00b'"),
        (SMALL + "[fit]\nstarts = true", "starts: expected a whole number, found True"),
        (SMALL + "[fit]\nfixed = {alpha = 'x'}", "fixed: expected numbers by name"),
        (SMALL + "[fit]\nfixed = {alpha = false}", "fixed: expected numbers by name"),
        (SMALL + "[fit]\nfixed = 0.3", "fixed: expected numbers by name, found 0.3"),
        (SMALL + "[runs.columns]\nloss = 5", "columns: expected texts by name"),
        (SMALL + "[runs.units]\nloss = true", "units: expected units (words or factors) by name"),
        (SMALL + "[compare]\nlaws = []", "[compare] laws: expected one or more names, found []"),
        (SMALL + "[compare]\nlaws = ['m3', 5]", "[compare] laws: expected one or more names"),
        (SMALL.replace("1e20", "'much'"), "compute: expected one or more numbers, found 'much'"),
        (SMALL.replace("1e20", "true"), "compute: expected one or more numbers, found True"),
        (SMALL.replace("1e20", "[]"), "compute: expected one or more numbers, found []"),
        (
            SMALL.replace("1e20", "[1e20, true]"),
            "compute: expected one or more numbers, found [1e+20, True]",
        ),
        (SMALL + "epochs = [1, 2, 3]", "epochs: expected a pair (low, high), found [1, 2, 3]"),
        (SMALL + "epochs = 4", "epochs: expected a pair (low, high), found 4"),
        (SMALL + "epochs = [1, true]", "epochs: expected a pair (low, high), found [1, True]"),
        (SMALL + "epochs = ['1', 'x']", "epochs: expected a pair (low, high), found ['1', 'x']"),
        (SMALL + "extrapolate = true", "extrapolate: expected a number, found True"),
        (SMALL + "max_total_tokens = '4 G'", "max_total_tokens: expected a number, found '4 G'"),
    ],
)
def test_values_of_the_wrong_kind(write, text, words):
    assert words in refused(write(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "[runs] needs 'path' (text)"),
        ("[runs]\ndrop_highest = 1", "[runs] needs 'path' (text)"),
        (
            "[runs]\npath = 'runs.csv'\n[optimize]",
            "[optimize] needs 'compute' (one or more numbers)",
        ),
        (
            "[runs]\npath = 'runs.csv'\n[optimize]\ncompute = 1",
            "[optimize] needs 'target_tokens' (one or more numbers, for all languages or by"
            " language)",
        ),
        (SMALL + "[compare]\nfraction = 0.3", "[compare] needs 'laws' (one or more names)"),
    ],
)
def test_missing_keys(write, text, words):
    assert refused(write(text)) == words


def test_recipes_may_be_left_out(write):
    config = read_config(write("[runs]\npath = 'runs.csv'\n[compare]\nlaws = 'm3'"))
    assert config.optimize is None
    assert config.compare == {"laws": ("m3",)}


def test_numbers_are_written_as_in_a_table(write):
    text = SMALL.replace("1e20", "['1e20', '2 billion']") + "max_total_tokens = '4M'"
    text = text.replace("[optimize]", "decimal = ','\nbytes_per_token = {id = '4.1'}\n\n[optimize]")
    config = read_config(write(text))
    assert config.optimize["compute"] == (1e20, 2e9)
    assert config.optimize["max_total_tokens"] == 4e6
    assert config.runs == {"decimal": ",", "bytes_per_token": {"id": 4.1}}
