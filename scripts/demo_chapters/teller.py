"""How the tour looks: headings, promises, evidence, documents. Colours only where a person sees them."""

import os
import shutil
import sys
import textwrap
from typing import TextIO

_BOLD, _DIM, _GREEN, _CYAN = "1", "2", "32", "36"
_WIDEST = 100
_EVIDENCE_AT = 64
_NAME_WIDTH = 20


class ClaimFailed(Exception):
    """What was claimed did not hold; the text says what."""


class Teller:
    """Writes to a stream that may or may not be a terminal."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        """Colours are for terminals, unless NO_COLOR (no-color.org) is set."""
        self._stream = stream
        self._coloured = stream.isatty() and not os.environ.get("NO_COLOR")
        self._width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
        self.claims = 0

    def title(self, text: str, *notes: str) -> None:
        """The first lines of all."""
        self._line(self._in(_BOLD, text))
        for note in notes:
            self._line(self._in(_DIM, note))

    def chapter(self, number: int, title: str, promise: str) -> None:
        """A chapter's number and title, and below them what is promised."""
        self._line()
        self._line(self._in(f"{_BOLD};{_CYAN}", f"{number}. {title}"))
        self._paragraph(promise, "   ")
        self._line()

    def claim(self, text: str, holds: bool, evidence: object = "") -> None:
        """A claim with its evidence, on one line when both find room.

        Raises:
            ClaimFailed: it does not hold.
        """
        shown = str(evidence)
        if not holds:
            raise ClaimFailed(f"this should hold and does not: {text}" + (f" (found: {shown})" if shown else ""))
        self.claims += 1
        mark = self._in(_GREEN, "✓")
        if len(text) + 5 < _EVIDENCE_AT and _EVIDENCE_AT + len(shown) <= self._width:
            self._line(f"   {mark} {text.ljust(_EVIDENCE_AT - 5)}{self._in(_DIM, shown)}".rstrip())
            return
        first, *rest = textwrap.wrap(text, self._width - 5)
        self._line(f"   {mark} {first}")
        for line in rest:
            self._line(f"     {line}")
        self._paragraph(shown, "       ", _DIM)

    def remark(self, text: str) -> None:
        """A sentence between claims."""
        self._paragraph(text, "   ")

    def field(self, name: str, value: str) -> None:
        """A field of a document, one of several below one another."""
        room = self._width - 5 - _NAME_WIDTH
        shown = value if len(value) <= room else value[: room - 1] + "…"
        self._line(f"     {self._in(_CYAN, name.ljust(_NAME_WIDTH))}{shown}")

    def end(self, *lines: str) -> None:
        """The last lines of all."""
        self._line()
        for line in lines:
            self._line(line)

    def _paragraph(self, text: str, indent: str, style: str = "") -> None:
        for line in textwrap.wrap(text, self._width - len(indent)):
            self._line(indent + self._in(style, line))

    def _in(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._coloured and style and text else text

    def _line(self, text: str = "") -> None:
        print(text, file=self._stream, flush=True)
