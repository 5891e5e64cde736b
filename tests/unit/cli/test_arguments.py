"""The words of the command line: what is refused, and how."""

import pytest

from mongostore.cli import main


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("MONGOSTORE_URI", "MONGOSTORE_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("words", [[], ["schema"], ["keys"], ["schema", "drop"], ["schema", "plan", "--drop-foreign"]])
def test_words_that_are_no_command(words, capsys):
    """The usage is shown, and the exit code is 2."""
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2
    assert "usage: mongostore" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["schema"], ["schema", "apply"], ["keys"], ["keys", "generate-master"]])
def test_every_command_explains_itself(words, capsys):
    """--help works everywhere and never prints a default from the environment."""
    with pytest.raises(SystemExit) as raised:
        main([*words, "--help"])
    assert raised.value.code == 0
    assert "usage: mongostore" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --uri, or set the environment variable MONGOSTORE_URI"),
        (["--uri", "mongodb://h"], "give --database, or set the environment variable MONGOSTORE_DATABASE"),
        (["--uri", "mongodb://h", "--database", "d", "--collection-prefix", "a b"], "collection_prefix may hold"),
        (["--uri", "mongodb://u:hunter2@:x@h", "--database", "d"], "the MongoDB URI can't be used"),
    ],
)
def test_what_can_not_work_is_one_line(words, message, capsys):
    """One line on stderr that says what to do, without the password; exit code 2; nothing on stdout."""
    assert main(["schema", "check", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"mongostore: {message}")
    assert captured.err.count("\n") == 1
    assert "hunter2" not in captured.err
