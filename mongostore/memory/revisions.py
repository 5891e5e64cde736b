"""Records that carry a revision, in a dict."""

from typing import Generic, TypeVar

from mongostore.models.base import Model
from mongostore.models.identifiers import is_identifier
from mongostore.stores.configuration import already_exists, check_revision_to_delete, stale_revision
from mongostore.stores.revised import Revised

ModelT = TypeVar("ModelT", bound=Model)


class MemoryRevisions:
    """The counter that all stores of a tenant draw their revisions from."""

    def __init__(self) -> None:
        self._last = 0

    @property
    def is_used(self) -> bool:
        """Whether a number was drawn."""
        return self._last > 0

    def draw(self) -> int:
        """A number larger than all before it."""
        self._last += 1
        return self._last


class RevisedRecords(Generic[ModelT]):
    """Models by their key. No method suspends, so each is atomic; what is given and taken are copies."""

    def __init__(self, revisions: MemoryRevisions) -> None:
        self._revisions = revisions
        self._records: dict[str, tuple[int, ModelT]] = {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def is_counted(self) -> bool:
        """Whether the tenant has drawn a revision yet."""
        return self._revisions.is_used

    def __contains__(self, key: object) -> bool:
        return is_identifier(key) and key in self._records

    def save(self, key: str, model: ModelT, what: str, expected_revision: int | None) -> int:
        """Insert or replace; see `ClientStore.save_client`.

        Args:
            what: what is saved, for messages ("the client 'web'").
        """
        actual = self.revision(key)
        if expected_revision == 0 and actual is not None:
            raise already_exists(what)
        if expected_revision and expected_revision != actual:
            raise stale_revision(what, expected=expected_revision, actual=actual)
        revision = self._revisions.draw()
        self._records[key] = (revision, model.model_copy(deep=True))
        return revision

    def get(self, key: str) -> ModelT | None:
        """The model of this key, or None."""
        return self._records[key][1].model_copy(deep=True) if key in self else None

    def all(self) -> list[ModelT]:
        """Every model, by ascending key."""
        return [model.model_copy(deep=True) for _, (_, model) in sorted(self._records.items())]

    def revision(self, key: str) -> int | None:
        """The revision that the record of this key is at, or None."""
        return self._records[key][0] if key in self else None

    def read(self, key: str) -> Revised[ModelT] | None:
        """The model of this key and its revision, or None."""
        revision, model = self.revision(key), self.get(key)
        return None if revision is None or model is None else Revised(model, revision)

    def delete(self, key: str, what: str, expected_revision: int | None) -> bool:
        """Remove the record of this key; see `ClientStore.delete_client`.

        Args:
            what: what is deleted, for messages ("the client 'web'").
        """
        check_revision_to_delete(expected_revision)
        actual = self.revision(key)
        if actual is None:
            return False
        if expected_revision is not None and expected_revision != actual:
            raise stale_revision(what, expected=expected_revision, actual=actual)
        del self._records[key]
        return True
