"""The operator's master key: its text form, where it is read from, and what it wraps."""

import copy
import os
import pickle

import pytest

from mongostore.errors import ConfigurationError, KeyUnavailable
from mongostore.protection.master_keys import LocalMasterKey

DATA_KEY = b"\x5a" * 32


def test_text_form_comes_back():
    """Export and from_text are inverse; white space around the text doesn't matter."""
    key = LocalMasterKey.generate()
    assert LocalMasterKey.from_text(key.export()).export() == key.export()
    assert LocalMasterKey.from_text(f"  {key.export()}\r\n").id == key.id


def test_generated_keys_differ():
    """No two generated keys are the same, nor have the same id."""
    keys = [LocalMasterKey.generate() for _ in range(50)]
    assert len({key.export() for key in keys}) == len({key.id for key in keys}) == 50


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_key_of_another_length_is_refused(length):
    """Only 32 bytes make a master key."""
    with pytest.raises(ValueError, match="32 bytes"):
        LocalMasterKey(bytes(length))


def test_wrong_types_are_refused():
    """Text is no key, and bytes are no text form."""
    with pytest.raises(TypeError):
        LocalMasterKey("a" * 32)
    with pytest.raises(TypeError):
        LocalMasterKey.from_text(b"mongostore-master-1:")


def test_any_cut_of_the_text_is_recognised():
    """A paste that lost its end or beginning is damaged, never another key."""
    text = LocalMasterKey.generate().export()
    for length in range(len(text)):
        with pytest.raises(ConfigurationError):
            LocalMasterKey.from_text(text[:length])
        with pytest.raises(ConfigurationError):
            LocalMasterKey.from_text(text[len(text) - length :])


def test_any_exchanged_character_is_recognised():
    """A mistyped character is damage, and the message repeats nothing of the text."""
    text = LocalMasterKey.generate().export()
    for position in range(text.index(":") + 1, len(text)):
        for replacement in ("A", "B", "+", "é"):
            damaged = text[:position] + replacement + text[position + 1 :]
            if damaged != text:
                with pytest.raises(ConfigurationError) as caught:
                    LocalMasterKey.from_text(damaged)
                assert text[25:40] not in str(caught.value)


def test_missing_variable_says_how_to_make_a_key(monkeypatch):
    """Unset and empty are the same, and the message names the variable and both ways to make a key."""
    for value in (None, "", " \n"):
        monkeypatch.delenv("MASTER", raising=False)
        if value is not None:
            monkeypatch.setenv("MASTER", value)
        with pytest.raises(ConfigurationError, match="MASTER") as caught:
            LocalMasterKey.from_env("MASTER")
        assert "LocalMasterKey.generate()" in str(caught.value)
        assert "mongostore keys generate-master" in str(caught.value)


def test_variable_is_read(monkeypatch):
    """What export gave is read from the environment; damage is reported by the variable's name."""
    key = LocalMasterKey.generate()
    monkeypatch.setenv("MASTER", key.export())
    assert LocalMasterKey.from_env("MASTER").id == key.id
    monkeypatch.setenv("MASTER", key.export()[:-1])
    with pytest.raises(ConfigurationError, match="MASTER is damaged"):
        LocalMasterKey.from_env("MASTER")


def test_file_is_read(tmp_path):
    """A file of its owner's alone, with the newline that editors add, is read."""
    key, path = LocalMasterKey.generate(), tmp_path / "master.key"
    path.write_text(key.export() + "\n")
    path.chmod(0o600)
    assert LocalMasterKey.from_file(path).id == key.id
    assert LocalMasterKey.from_file(str(path)).id == key.id


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610])
def test_file_open_to_others_is_refused(tmp_path, mode):
    """Any right of the group or of others is one too many; the message names the mode and the remedy."""
    path = tmp_path / "master.key"
    path.write_text(LocalMasterKey.generate().export())
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"mode {mode:04o}.*chmod 600"):
        LocalMasterKey.from_file(path)


def test_missing_and_unreadable_files_are_configuration_errors(tmp_path):
    """No file says how to make a key; a directory or other content says what is wrong, with the path."""
    with pytest.raises(ConfigurationError, match=r"nowhere.*generate"):
        LocalMasterKey.from_file(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="can't be read"):
        LocalMasterKey.from_file(tmp_path)
    path = tmp_path / "master.key"
    path.write_bytes(b"\xff\xfe\x00 not a key")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"master\.key does not begin"):
        LocalMasterKey.from_file(path)


async def test_wrapped_key_opens_in_its_context_only():
    """A wrapped key is bound to its context, although AES key wrap by itself binds none."""
    key = LocalMasterKey.generate()
    wrapped = await key.wrap(DATA_KEY, b"acme")
    assert DATA_KEY not in wrapped
    assert await key.unwrap(wrapped, b"acme", key.id) == DATA_KEY
    for context in (b"", b"acm", b"acme2", b"globex"):
        with pytest.raises(KeyUnavailable):
            await key.unwrap(wrapped, context, key.id)


async def test_altered_wrapped_key_does_not_open():
    """Any changed byte, and any length but the right one, is KeyUnavailable."""
    key = LocalMasterKey.generate()
    wrapped = await key.wrap(DATA_KEY, b"acme")
    for position in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[position] ^= 1
        with pytest.raises(KeyUnavailable):
            await key.unwrap(bytes(altered), b"acme", key.id)
    for bad in (b"", wrapped[:-1], wrapped[:-8], wrapped + bytes(8)):
        with pytest.raises(KeyUnavailable):
            await key.unwrap(bad, b"acme", key.id)


async def test_another_master_key_does_not_open():
    """A foreign key names both ids; pretending the id doesn't help."""
    key, other = LocalMasterKey.generate(), LocalMasterKey.generate()
    wrapped = await key.wrap(DATA_KEY, b"acme")
    with pytest.raises(KeyUnavailable) as caught:
        await other.unwrap(wrapped, b"acme", key.id)
    assert key.id in str(caught.value)
    assert other.id in str(caught.value)
    with pytest.raises(KeyUnavailable):
        await other.unwrap(wrapped, b"acme", other.id)


def test_nothing_shows_or_copies_the_key():
    """Repr and text show the id; pickle, copy and vars() don't get at the key."""
    key = LocalMasterKey.generate()
    assert repr(key) == str(key) == f"<LocalMasterKey {key.id}>"
    for steal in (pickle.dumps, copy.copy, copy.deepcopy, vars):
        with pytest.raises(TypeError):
            steal(key)
