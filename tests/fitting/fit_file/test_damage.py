"""What is not a fit file as m3jax wrote it is refused in one line that says what is wrong."""

import copy
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest

from m3jax import Fits, M3Error
from m3jax.fitting.fit_file import signed

from .saved import arrays_of, made_up, npz, same, write_by_hand

FITS = made_up()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = FITS.save(tmp_path_factory.mktemp("saved") / "fits.json")
    assert same(Fits.load(path), FITS)
    return json.loads(path.read_text(encoding="utf-8"))


def refusal(path):
    with pytest.raises(M3Error) as caught:
        Fits.load(path)
    message = str(caught.value)
    assert str(path.with_suffix("")) in message
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_a_pair_written_by_hand_is_read(content, tmp_path):
    path = write_by_hand(tmp_path / "fits.json", content, npz(arrays_of(FITS)))
    assert same(Fits.load(path), FITS)


def test_spacing_of_the_json_does_not_matter_but_order_does(tmp_path):
    path = FITS.save(tmp_path / "fits.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content, indent=8))
    assert same(Fits.load(path), FITS)
    content["languages"] = dict(reversed(content["languages"].items()))
    path.write_text(json.dumps(content))
    assert "not as m3jax wrote it" in refusal(path)


def test_every_edit_of_the_json_is_noticed(tmp_path):
    path = FITS.save(tmp_path / "fits.json")
    text = path.read_text(encoding="utf-8")
    for old, new in (
        ("0.9", "0.8"),
        ("good", "weak"),
        ("language0001", "German"),
        ("rare", "Rare"),
    ):
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        assert "not as m3jax wrote it" in refusal(path)
    path.write_text(text.replace('"checksum"', '"sum"'), encoding="utf-8")
    assert "its checksum differs" in refusal(path)


def test_damaged_bytes_are_never_read_as_another_fit(tmp_path):
    rng = np.random.default_rng(5)
    path = FITS.save(tmp_path / "fits.json")
    for file in (path, path.with_suffix(".npz")):
        whole = file.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            file.write_bytes(bytes(data[: rng.integers(len(data))]) if rng.random() < 0.3 else data)
            try:
                found = Fits.load(path)
            except M3Error:
                refusal(path)
            else:
                assert same(found, FITS)  # a blank more or less
        file.write_bytes(whole)


def changed(content, place, value):
    """Content with another value at a place, `...` taking it away."""
    content = copy.deepcopy(content)
    *way, last = place
    inner = content
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return content


HUGE = 10**400
FIRST = ("languages", "language0000")
ODD = {
    "no law": (("law",), ..., "law: expected a name, found nothing"),
    "law of another kind": (("law",), ["m3"], "law: expected a name, found a list of 1"),
    "unknown law": (("law",), "m4", "unknown law 'm4'"),
    "another law": (("law",), "kaplan", "formula: expected that of law kaplan"),
    "former formula": (("formula",), "L = E", "found 'L = E'; fit again with this version"),
    "no formula": (("formula",), ..., "found nothing; fit again with this version"),
    "version of another kind": (("schema_version",), True, "schema version True"),
    "version of many digits": (("schema_version",), HUGE, "schema version 1000"),
    "no settings": (("settings",), ..., "settings: expected an object, found None"),
    "settings of another kind": (("settings",), [], "settings: expected an object"),
    "no level": (("settings", "level"), ..., "settings: level is missing"),
    "level above 1": (("settings", "level"), 90, "level: expected a number between 0 and 1"),
    "level of many digits": (("settings", "level"), HUGE, "level: expected a number between 0"),
    "odd starts": (("settings", "starts"), 1.5, "starts: expected a whole number >= 1"),
    "odd engine": (("settings", "engine"), "steam", "engine: expected 'auto' or 'batch' or 'host'"),
    "fixed what is not there": (("settings", "fixed"), {"x": 1.0}, "fixed: expected finite"),
    "fixed at too much": (("settings", "fixed"), {"alpha": HUGE}, "fixed"),
    "unknown setting": (("settings", "speed"), 1, "unknown setting 'speed'"),
    "no source": (("settings", "source"), ..., "source: expected text, found nothing"),
    "notes that are none": (("settings", "notes"), "note", "notes: expected a list of texts"),
    "no languages": (("languages",), {}, "languages: expected at least one"),
    "languages in a list": (("languages",), [], "languages: expected an object"),
    "language of another kind": (FIRST, None, "'language0000': expected an object, found None"),
    "no status": ((*FIRST, "status"), ..., "status: expected 'good' or"),
    "odd status": ((*FIRST, "status"), "fine", "status: expected 'good' or"),
    "status of another kind": ((*FIRST, "status"), {}, "status: expected 'good' or"),
    "no r2": ((*FIRST, "r2"), None, "r2: expected a finite number <= 1, found None"),
    "r2 that is a switch": ((*FIRST, "r2"), True, "r2: expected a finite number"),
    "huge objective": ((*FIRST, "objective"), 1e300, "objective: expected a finite number >= 0"),
    "negative objective": ((*FIRST, "objective"), -1, "objective: expected a finite number >= 0"),
    "part of a run": ((*FIRST, "n_runs"), 1.5, "n_runs: expected a whole number >= 0"),
    "runs without end": ((*FIRST, "n_runs"), HUGE, "n_runs: expected a whole number >= 0"),
    "agreement above 1": ((*FIRST, "start_agreement"), 1.5, "expected a number from 0 to 1"),
    "no delta": ((*FIRST, "huber_delta"), 0, "huber_delta: expected a finite number > 0"),
    "half converged": ((*FIRST, "converged"), 0.5, "converged: expected true or false"),
    "messages in one": ((*FIRST, "messages"), "a", "messages: expected a list of texts"),
    "half a character": ((*FIRST, "messages"), ["\ud800"], "messages: expected a list of texts"),
    "a coefficient less": ((*FIRST, "coefficients", "alpha"), ..., "expected those of law m3"),
    "coefficient in digits": ((*FIRST, "coefficients", "alpha", "value"), HUGE, "alpha, value"),
    "no ranges": ((*FIRST, "runs", "ranges"), {}, "ranges: expected those of"),
    "range upside down": ((*FIRST, "runs", "ranges", "epochs"), [2, 1], "epochs: expected [low"),
    "range of nothing": ((*FIRST, "runs", "ranges", "epochs"), [0, 1], "epochs: expected [low"),
    "odd variable": ((*FIRST, "runs", "varies"), ["x"], "varies: expected some of"),
    "share above 1": ((*FIRST, "runs", "first_share"), 2, "first_share: expected a number from 0"),
    "failed without a reason": (("languages", "rare", "messages"), [], "expected the reason"),
    "failed runs": (("languages", "rare", "n_runs"), -1, "n_runs: expected a whole number >= 0"),
    "population of nothing": (("population",), {}, "population, pool: expected partial or full"),
    "language more": (("languages", "rare", "status"), "good", "converged: expected true or false"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_content_is_refused_even_with_its_checksum(content, tmp_path, name):
    place, value, words = ODD[name]
    odd = changed(content, place, value)
    path = write_by_hand(tmp_path / "fits.json", odd, npz(arrays_of(FITS)))
    assert words in refusal(path)


POPULATION = {
    "pool": "full", "languages": 2, "noise": 0.01, "rounds": 3, "settled": True,
    "coefficients": {"alpha": dict.fromkeys(("mean", "mean_sd", "sd", "rho", "low", "high"), 0.1)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("settled",), 1, "settled: expected true or false"),
        (("noise",), None, "noise: expected a finite number >= 0"),
        (("coefficients", "alpha", "sd"), 1e3, "of a size that no fit gives"),
        (("coefficients", "alpha", "sd"), "x", "sd: expected a finite number"),
        (("coefficients",), {"x": {}}, "expected some of those of law m3"),
    ],
)
def test_odd_populations_are_refused(content, tmp_path, place, value, words):
    data = npz(arrays_of(FITS))
    path = tmp_path / "fits.json"
    write_by_hand(path, {**content, "population": POPULATION}, data)
    assert Fits.load(path).population.rounds == 3
    write_by_hand(path, {**content, "population": changed(POPULATION, place, value)}, data)
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "too deep in each other"),
        ('{"schema_version": 3, "a": ' + "[" * 100_000 + "]" * 100_000 + "}", "too deep"),
        ('{"schema_version": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"schema_version": NaN}', "found NaN, which JSON does not have"),
        ('{"schema_version": 3, "schema_version": 3}', "'schema_version' is there twice"),
        ("[]", "no schema_version"),
        ("", "perhaps cut short"),
        ("\ufeff{}", "not valid JSON"),
    ],
)
def test_text_that_is_no_fit(tmp_path, text, words):
    path = tmp_path / "fits.json"
    path.write_text(text, encoding="utf-8")
    assert words in refusal(path)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "fits.json"
    path.write_bytes(b"\xff\xfe" + b"{}")
    assert "not UTF-8 text" in refusal(path)


@pytest.mark.parametrize(
    "name", ["../fits.npz", "/etc/passwd", "a\0.npz", "", "fits.json", 3, None, "sub/fits.npz"]
)
def test_arrays_are_looked_for_only_beside_their_json(content, tmp_path, name):
    path = write_by_hand(tmp_path / "fits.json", content, npz(arrays_of(FITS)))
    stated = json.loads(path.read_text())
    stated["arrays"]["file"] = name
    path.write_text(json.dumps(signed(stated)))
    assert "expected the name of a .npz file in the same folder" in refusal(path)


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in entries:
            file.writestr(name, data)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def members(**changes):
    arrays = {**arrays_of(FITS), **changes}
    return [(f"{name}.npy", npy(a)) for name, a in arrays.items() if a is not None]


def encrypted(data):
    """The flag that says so, in the local headers and in the directory."""
    data = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(mark, place + 4)
    return bytes(data)


def header_of(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


THETA = FITS.theta
BOMB = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 99999999999, 14), }\n"
ZEROS = bytes(99)
ZIPS = {
    "nothing": lambda: b"",
    "no zip": lambda: b"PK\x03\x04 and no more",
    "empty zip": lambda: zipped([]),
    "an array less": lambda: zipped(members(draws=None)),
    "an array more": lambda: zipped([*members(), ("more.npy", npy(THETA))]),
    "an array twice": lambda: zipped([*members(), members()[0]]),
    "encrypted": lambda: encrypted(zipped(members())),
    "bzip2": lambda: zipped(members(), zipfile.ZIP_BZIP2),
    "lzma": lambda: zipped(members(), zipfile.ZIP_LZMA),
    "float32": lambda: zipped(members(theta=THETA.astype(np.float32))),
    "other byte order": lambda: zipped(members(theta=THETA.astype(">f8"))),
    "integers": lambda: zipped(members(theta=np.ones(THETA.shape, dtype=np.int64))),
    "texts": lambda: zipped(members(theta=np.full(THETA.shape, "1.0"))),
    "complex": lambda: zipped(members(theta=THETA.astype(complex))),
    "objects": lambda: zipped(members(theta=np.array([[{}]], dtype=object))),
    "records": lambda: zipped(members(theta=np.zeros(2, dtype=[("a", "f8")]))),
    "turned": lambda: zipped(members(theta=THETA.T)),
    "flat": lambda: zipped(members(theta=THETA.ravel())),
    "a number": lambda: zipped(members(prior_weight=np.float64(1.0))),
    "a bend less": lambda: zipped(members(bends=FITS.bends[:, :1])),
    "a row less": lambda: zipped(members(draws=FITS.draws[:1])),
    "not a number": lambda: zipped(members(theta=np.where(THETA > 1, np.nan, THETA))),
    "infinite": lambda: zipped(members(draws=FITS.draws + np.inf)),
    "huge": lambda: zipped(members(theta=THETA + 1e300)),
    "huge prior": lambda: zipped(members(prior_precision=FITS.prior_precision + 1e200)),
    "numbers missing": lambda: zipped([*members()[1:], ("theta.npy", npy(THETA)[:-8])]),
    "numbers over": lambda: zipped([*members()[1:], ("theta.npy", npy(THETA) + b"12345678")]),
    "no header": lambda: zipped([*members()[1:], ("theta.npy", b"\x93NUMPY\x01")]),
    "odd header": lambda: zipped([*members()[1:], ("theta.npy", header_of("{'a': " * 3000))]),
    "deep header": lambda: zipped([*members()[1:], ("theta.npy", header_of("(" * 9000))]),
    "promises": lambda: zipped([*members(draws=None), ("draws.npy", header_of(BOMB))]),
    "newer format": lambda: zipped([*members()[1:], ("theta.npy", b"\x93NUMPY\x09\x00" + ZEROS)]),
}  # fmt: skip


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_odd_arrays_are_refused_even_with_their_digest(content, tmp_path, name):
    path = write_by_hand(tmp_path / "fits.json", content, ZIPS[name]())
    refusal(path)


def test_stored_arrays_and_those_by_columns_are_arrays(content, tmp_path):
    fortran = members(theta=np.asfortranarray(THETA))
    path = write_by_hand(tmp_path / "fits.json", content, zipped(fortran, zipfile.ZIP_STORED))
    assert same(Fits.load(path), FITS)


def test_missing_arrays_are_told(content, tmp_path):
    path = write_by_hand(tmp_path / "fits.json", content, npz(arrays_of(FITS)))
    path.with_suffix(".npz").unlink()
    assert "the fit file needs its arrays: No such file" in refusal(path)


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    for change, words in (
        ({"theta": FITS.theta + np.nan}, "not finite|JSON compliant|finite float64"),
        ({"draws": FITS.draws * np.inf}, "JSON compliant|finite"),
        ({"settings": {"level": 0.9}}, "settings: fixed is missing"),
        ({"grading": lambda: ("fine", "good")}, "status: expected"),
    ):
        with np.errstate(all="ignore"), pytest.raises(M3Error, match=words):
            dataclasses.replace(FITS, **change).save(tmp_path / "fits.json")
        assert list(tmp_path.iterdir()) == []
