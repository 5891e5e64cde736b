"""How the schema's state is told: to people in colour, to machines in JSON, and a running build on one line."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TextIO

from mongostore.schema import Change, Drift, Progress

_RED, _GREEN, _YELLOW, _CYAN = 31, 32, 33, 36
# Mark, colour, and how it is called as long as it is there, and once it is mended.
_WORDS = {
    Drift.MISSING_COLLECTION: ("+", _GREEN, "missing", "created"),
    Drift.UNUSABLE_COLLECTION: ("!", _RED, "unusable", "mended"),
    Drift.MISSING_VALIDATOR: ("+", _GREEN, "validator missing", "validator set"),
    Drift.CHANGED_VALIDATOR: ("~", _YELLOW, "validator differs", "validator set"),
    Drift.MISSING_INDEX: ("+", _GREEN, "index missing", "index created"),
    Drift.CHANGED_INDEX: ("~", _YELLOW, "index differs", "index created anew"),
    Drift.CHANGED_TTL: ("~", _YELLOW, "expiry differs", "expiry changed"),
    Drift.CONFLICTING_INDEX: ("!", _RED, "foreign index in the way", "foreign index dropped"),
    Drift.FOREIGN_INDEX: ("?", _CYAN, "foreign index", "foreign index dropped"),
}
_SECONDS_BETWEEN_LINES = 10


@dataclass(frozen=True)
class Report:
    """The result of one command.

    Attributes:
        action: "plan", "apply" or "check".
        in_order: nothing is left that should not be.
        done: what was changed.
        left: the differences that remain.
    """

    action: str
    database: str
    collection_prefix: str
    in_order: bool
    done: Sequence[Change]
    left: Sequence[Change]


def as_json(reports: Sequence[Report]) -> str:
    """One object; names and meanings are frozen, what is in `detail` is for people."""
    return json.dumps(
        {
            "action": reports[0].action,
            "in_order": all(report.in_order for report in reports),
            "databases": [
                {
                    "database": report.database,
                    "collection_prefix": report.collection_prefix,
                    "in_order": report.in_order,
                    "done": [_fields(each) for each in report.done],
                    "left": [_fields(each) for each in report.left],
                }
                for report in reports
            ],
        },
        indent=2,
    )


def as_text(report: Report) -> str:
    """A line for each difference, and a last one that sums up."""
    lines = [_line(each, mended=True) for each in report.done]
    if report.done and report.left:
        lines.append("Left:")
    lines += [_line(each, mended=False) for each in report.left]
    return "\n".join([*lines, _summary(report)])


class ProgressLine:
    """Shows on stderr how far a step is: on a terminal as one line that changes, elsewhere as a line now and then."""

    def __init__(self) -> None:
        self._step = ""
        self._written = 0.0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __call__(self, progress: Progress) -> None:
        """Show it, unless the last line is still good."""
        now = time.monotonic()
        if self._terminal:
            print(f"\r\033[K{_progress_text(progress)}", end="", file=sys.stderr, flush=True)
        elif progress.step != self._step or now - self._written >= _SECONDS_BETWEEN_LINES:
            print(_progress_text(progress), file=sys.stderr, flush=True)
            self._written = now
        self._step = progress.step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line for what comes next."""
        if self._terminal and self._step:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _fields(change: Change) -> dict[str, Any]:
    return {"kind": change.kind, "collection": change.collection, "index": change.index, "detail": change.detail}


def _line(change: Change, *, mended: bool) -> str:
    mark, colour, present, past = _WORDS[change.kind]
    what = f"{change.collection}.{change.index}" if change.index else change.collection
    return f"  {_coloured(mark, colour)} {what}: {past if mended else present}: {change.detail}"


def _summary(report: Report) -> str:
    left = f"{_counted(len(report.left), 'difference')} in the database {report.database}"
    if report.done:
        text = f"{_counted(len(report.done), 'change')} made, {left} left."
    else:
        text = f"{left}." if report.left else f"The schema of the database {report.database} is in order."
    return _coloured(text, _GREEN if report.in_order else _YELLOW)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _progress_text(progress: Progress) -> str:
    seen = f", {progress.done:,} of {progress.total:,} records" if progress.done is not None else ""
    return f"{progress.step}: {progress.elapsed.total_seconds():.0f} s{seen}"


def _coloured(text: str, colour: int) -> str:
    """In colour on a terminal, unless NO_COLOR (no-color.org) is set."""
    return f"\033[{colour}m{text}\033[0m" if _wants_colour(sys.stdout) else text


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")
