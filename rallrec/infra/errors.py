"""The one exception that a user is meant to see."""

import math
import sys
from numbers import Real

LONGEST = 400  # characters of its line; a damaged file can hold a field of any length


class InputError(ValueError):
    """Something the user can mend, told in one line: what is wrong, where, and the mend.

    The command line prints the line alone and exits with 2; anything else that is raised is a
    defect of this package and keeps its traceback.
    """

    def __init__(self, said: str):
        line = " ".join(said.split("\n"))
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows below a cell: the line alone."""
        return [f"{type(self).__name__}: {self}"]


def one_of(what: str, value: object, valid) -> None:
    """Raise `InputError` unless ``value`` is one of ``valid``; names the argument and its values."""
    if value not in (valid := tuple(valid)):
        between = "; " if any("," in str(name) for name in valid) else ", "
        raise InputError(f"{what} is {value!r}; it must be one of: {between.join(map(str, valid))}")


def at_least(what: str, value: int, low: int) -> int:
    """Return ``value`` as an int, or raise `InputError` if it is no whole number >= ``low``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < low:
        raise InputError(f"{what} is {value!r}; it must be a whole number of at least {low}")
    return int(value)


def within(what: str, value: float, low: float, high: float = math.inf, above: bool = False) -> float:
    """Return ``value``, or raise `InputError` if it is no finite number from ``low`` to ``high``.

    Args:
        above: ``low`` itself is too low.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_number and low <= value <= min(high, sys.float_info.max)) or (above and value == low):
        wanted = f"above {low:g}" if above else f"of at least {low:g}"
        wanted += f" and at most {high:g}" if high < math.inf else ""
        raise InputError(f"{what} is {value!r}; it must be a number {wanted}")
    return value
