"""The chapters of the tour, in their order. Each tells one promise and shows the evidence; none needs another one's state.

A new chapter is a module with a `Chapter`, and a line here.
"""

from demo_chapters.authorization_codes import SEALED, SINGLE_USE
from demo_chapters.configuration import CONFIGURATION
from demo_chapters.master_key import MASTER_KEY
from demo_chapters.refresh_tokens import REPLAY, RETRY
from demo_chapters.schema import SCHEMA
from demo_chapters.stage import Chapter

CHAPTERS: tuple[Chapter, ...] = (SCHEMA, CONFIGURATION, SEALED, SINGLE_USE, RETRY, REPLAY, MASTER_KEY)
