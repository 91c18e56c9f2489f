"""Names for things that a user's file may add to."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import InputError, one_of

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by their names, in the order of their registration.

    What is registered before `seal` is built in: its names can't be taken. A user's name can be registered again,
    as when a notebook's cell runs twice; the last one counts.

    Args:
        what: what the things are, for messages: ``representation``.
    """

    def __init__(self, what: str):
        self.what = what
        self._things: dict[str, T] = {}
        self.built_in: frozenset[str] = frozenset()

    def add(self, name: str, thing: T, replace: bool = False) -> T:
        """Register a thing.

        Args:
            replace: take a built-in's name all the same.

        Raises:
            InputError: a name that is no text, or a built-in's.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"the name of a {self.what} is {name!r}; it must be a text")
        if name in self.built_in and not replace:
            raise InputError(f"{self.what} {name!r} is built in; give yours another name")
        self._things[name] = thing
        return thing

    def register(self, name: str, **options) -> Callable[[T], T]:
        """A decorator that registers what it decorates; ``options`` are those of `add`."""
        return lambda thing: self.add(name, thing, **options)

    def seal(self) -> None:
        """Call all that is registered so far built in."""
        self.built_in = frozenset(self._things)

    def __getitem__(self, name: str) -> T:
        """Raises InputError for an unknown name, with those that are known."""
        one_of(self.what, name, self)
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
