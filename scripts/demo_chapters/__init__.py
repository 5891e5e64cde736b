"""The chapters of the tour, in their order. Each tells one promise and shows the evidence; none needs another one's state.

A new chapter is a module with a `Chapter`, and a line here.
"""

from demo_chapters.authorization_codes import SEALED, SINGLE_USE
from demo_chapters.caches import CACHES
from demo_chapters.configuration import CONFIGURATION
from demo_chapters.data_keys import DESTRUCTION, REWRAP, ROTATION
from demo_chapters.device_flow import DEVICE_FLOW
from demo_chapters.master_key import MASTER_KEY
from demo_chapters.pushed_requests import PUSHED_REQUESTS
from demo_chapters.refresh_tokens import REPLAY, RETRY
from demo_chapters.schema import SCHEMA
from demo_chapters.sessions import EXPIRY, PAGES
from demo_chapters.signing_keys import SIGNING_KEYS
from demo_chapters.stage import Chapter
from demo_chapters.tenants import TENANTS

CHAPTERS: tuple[Chapter, ...] = (
    SCHEMA,
    CONFIGURATION,
    SEALED,
    SINGLE_USE,
    RETRY,
    REPLAY,
    PUSHED_REQUESTS,
    DEVICE_FLOW,
    PAGES,
    EXPIRY,
    SIGNING_KEYS,
    TENANTS,
    CACHES,
    MASTER_KEY,
    ROTATION,
    REWRAP,
    DESTRUCTION,
)
