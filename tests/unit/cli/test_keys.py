"""`mongostore keys generate-master` can be piped into a secret manager."""

from mongostore.cli import main
from mongostore.protection.master_keys import LocalMasterKey


def test_only_the_key_is_on_stdout(capsys):
    """One line, which reads back as a master key; what to do with it is on stderr, without the key."""
    assert main(["keys", "generate-master"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert LocalMasterKey.from_text(line).export() == line
    assert "MONGOSTORE_MASTER_KEY" in captured.err
    assert line not in captured.err


def test_every_key_is_new(capsys):
    """No two runs give the same key."""
    for _ in range(5):
        main(["keys", "generate-master"])
    assert len(set(capsys.readouterr().out.splitlines())) == 5
