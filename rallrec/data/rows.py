"""Rows of a raw file that can't be right: few are left out and told, many refuse it. One rule for all readers."""

from ..infra.errors import InputError

MOST = 0.05  # share of a file's rows that may be left out


class LeftOut:
    """Collects a file's rows that can't be right.

    Args:
        where: the file, for messages.
        what: its rows, in the plural.
    """

    def __init__(self, where: str, what: str = "rows"):
        self.where, self.what = where, what
        self.rows: dict[int, str] = {}  # why, by line
        self.n_counted = 0  # others, see `count`

    def add(self, line: int, why: str) -> None:
        """Leave the row at a line of the file out (once, however much is wrong with it)."""
        self.rows.setdefault(line, why)

    def count(self, n: int, first: int, why: str) -> None:
        """Leave ``n`` rows out of a file too long to list them: the line of the first is kept, and why."""
        if not self.rows or first < min(self.rows):
            self.add(first, why)
            n -= 1
        self.n_counted += n

    def __len__(self) -> int:
        return len(self.rows) + self.n_counted

    def notes(self, n_rows: int) -> list[str]:
        """A sentence on what was left out, if anything was.

        Args:
            n_rows: that the file has, those left out included.

        Raises:
            InputError: they are more than `MOST` of all rows; names the first.
        """
        if not self.rows:
            return []
        n, line = len(self), min(self.rows)
        if n > MOST * n_rows:
            many = f"{n:,} of {n_rows:,} {self.what} can't be right; at most {MOST:.0%} are left out"
            raise InputError(f"{self.where}:{line}: {self.rows[line]}{f' ({many})' if n > 1 else ''}")
        return [f"{n:,} of {n_rows:,} {self.what} can't be right and are left out (line {line}: {self.rows[line]})."]
