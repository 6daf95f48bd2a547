"""Options in messages are named as the caller writes them; unknown names get the nearest one."""

import pytest

from m3jax import M3Error, RunTable, get_law

from .conftest import call

HEAD = "run_id,n_params,target_tokens,epochs,target_ratio,loss\n"
# A table, and what its error says on the command line and in Python.
MESSAGES = {
    "a switch": (
        f"{HEAD}a,1e6,1e8,1,1,3\nb,2e6,1e8,1,1,\n",
        "(--skip-incomplete leaves out",
        "(skip_incomplete=True leaves out",
    ),
    "a mapping": (
        "n_params\n1e6\n",
        "map it: --map loss=<its name>",
        "map it: columns={'loss': '<its name>'}",
    ),
    "a value": (
        f'{HEAD}a,"1,000,000",1e8,1,1,3\n',
        "(--thousands ',' would read it)",
        "(thousands=',' would read it)",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_options_are_flags_on_the_command_line_alone(name, tmp_path):
    text, typed, keyword = MESSAGES[name]
    path = tmp_path / "runs.csv"
    path.write_text(text)
    result = call("fit", path)
    assert result.code == 2
    assert typed in result.err
    with pytest.raises(M3Error) as error:
        RunTable.read(path)
    assert keyword in str(error.value)
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--draws", "-1"), "--draws: expected 0 or a whole number"),
        (("--pool", "partal"), "got 'partal' (did you mean 'partial'?)"),
        (("--law", "Chinchila"), "unknown law 'Chinchila'; did you mean 'chinchilla'?"),
        (("--map", "run_id=a", "--map", "run_id=b"), "--map: 'run_id' is given twice"),
    ],
)
def test_what_was_typed_is_named(arguments, words, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(f"{HEAD}a,1e6,1e8,1,1,3\n")
    result = call("fit", path, *arguments)
    assert result.code == 2
    assert words in result.err


def test_names_unlike_any_get_the_known_ones():
    with pytest.raises(M3Error, match=r"unknown law 'xyz'; known: m3, .*chinchilla"):
        get_law("xyz")
