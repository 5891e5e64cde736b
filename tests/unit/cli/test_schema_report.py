"""The report's two forms: the machine's is frozen, the people's is in colour on a terminal only."""

import io
import json
from datetime import timedelta

import pytest

from mongostore.cli import schema_report
from mongostore.cli.schema_report import ProgressLine, Report, as_json, as_text
from mongostore.schema import Change, Drift, Progress

CHANGES = [Change(kind, "grants", None if "collection" in kind else "x", f"about {kind}") for kind in Drift]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def on_a_terminal(monkeypatch):
    """Puts a terminal in the place of stdout and stderr; to be called in the test, where pytest no longer changes them."""

    def begin():
        terminal = Terminal()
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setattr("sys.stderr", terminal)
        return terminal

    return begin


def report(action="apply", *, in_order=False, done=(), left=()):
    return Report(action, "identity", "idp_", in_order, done, left)


def test_the_machines_form_is_frozen():
    """Scripts read these names: a change here breaks them."""
    text = as_json([report(done=CHANGES[:1], left=CHANGES[-1:])])
    assert json.loads(text) == {
        "action": "apply",
        "in_order": False,
        "databases": [
            {
                "database": "identity",
                "collection_prefix": "idp_",
                "in_order": False,
                "done": [
                    {
                        "kind": "missing_collection",
                        "collection": "grants",
                        "index": None,
                        "detail": "about missing_collection",
                    }
                ],
                "left": [
                    {"kind": "foreign_index", "collection": "grants", "index": "x", "detail": "about foreign_index"}
                ],
            }
        ],
    }
    assert [each["kind"] for each in json.loads(as_json([report(left=CHANGES)]))["databases"][0]["left"]] == [
        "missing_collection",
        "unusable_collection",
        "missing_validator",
        "changed_validator",
        "missing_index",
        "changed_index",
        "changed_ttl",
        "conflicting_index",
        "foreign_index",
    ]


def test_people_get_a_line_for_each_difference():
    """Every kind has words; what was done and what is left are told apart; the last line sums up."""
    text = as_text(report(done=CHANGES[:1], left=CHANGES))
    assert text.splitlines()[0] == "  + grants: created: about missing_collection"
    assert text.splitlines()[1] == "Left:"
    assert len(text.splitlines()) == 1 + 1 + len(Drift) + 1
    assert text.endswith("1 change made, 9 differences in the database identity left.")
    assert as_text(report("check", left=CHANGES[-1:])).endswith("\n1 difference in the database identity.")
    assert as_text(report("check", in_order=True)) == "The schema of the database identity is in order."


def test_colours_are_for_terminals(on_a_terminal, monkeypatch):
    """In colour on a terminal; plain in a pipe, and where NO_COLOR is set."""
    on_a_terminal()
    coloured = as_text(report(left=CHANGES))
    assert "\033[32m+\033[0m grants: missing" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in as_text(report(left=CHANGES))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert "\033" not in as_text(report(left=CHANGES))


def test_progress_on_a_terminal_is_one_line_that_goes_away(on_a_terminal):
    """The line is rewritten in place, and cleared in the end."""
    terminal = on_a_terminal()
    with ProgressLine() as show:
        show(Progress("create x of grants", timedelta(0)))
        show(Progress("create x of grants", timedelta(seconds=65), 12_345, 1_000_000))
    assert terminal.getvalue() == (
        "\r\033[Kcreate x of grants: 0 s\r\033[Kcreate x of grants: 65 s, 12,345 of 1,000,000 records\r\033[K"
    )


def test_progress_in_a_log_is_a_line_now_and_then(capsys, monkeypatch):
    """Each step once at its start, then every ten seconds."""
    now = 100.0
    monkeypatch.setattr(schema_report.time, "monotonic", lambda: now)
    with ProgressLine() as show:
        for second in range(25):
            now = 100.0 + second
            show(Progress("create x of grants", timedelta(seconds=second)))
        show(Progress("create y of grants", timedelta(0)))
    assert capsys.readouterr().err.splitlines() == [
        "create x of grants: 0 s",
        "create x of grants: 10 s",
        "create x of grants: 20 s",
        "create y of grants: 0 s",
    ]
