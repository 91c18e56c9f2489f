"""By hand: generated ratings of the shape of MovieLens-32M, from its zip archive to the AUC of the vote.

    python tests/large.py FOLDER               32 million ratings by 200,948 users of 87,585 films
    python tests/large.py FOLDER 1000000       as many, by users and of films in proportion

The archive is written into FOLDER once, in the official layout: CSV files, in order of users and films. Then the
package's own steps run on it, and of each is printed what it took: seconds on the clock and of a core, the most memory
that the process had until then, and the last two by rating. Similarity is by genres and year, so no LLM and no training
takes part.
"""

import os
import resource
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

RATINGS, USERS, FILMS = 32_000_204, 200_948, 87_585
GENRES = (
    *(
        "Action",
        "Adventure",
        "Animation",
        "Children",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
        "Film-Noir",
    ),
    *("Horror", "IMAX", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
FIRST, LAST = 789_652_009, 1_697_164_147  # seconds: January 1995 to October 2023
TOGETHER = 4_000  # users whose ratings are drawn at a time


def write_movielens(path: Path, n_ratings: int = RATINGS, seed: int = 0) -> None:
    """Write ``ml-32m.zip``: films whose popularity falls as a power of the rank, users who like some genres.

    A user rates at least 20 films, most of them in a burst of some days, as they do at MovieLens.
    """
    rng = np.random.default_rng(seed)
    share = n_ratings / RATINGS
    n_users, n_films = max(50, round(USERS * share)), max(200, round(FILMS * share**0.5))
    genre = np.sort(rng.integers(0, len(GENRES), (n_films, 2)), axis=1)
    film = np.sort(rng.permutation(np.arange(1, 3 * n_films))[:n_films])
    quality = rng.normal(0, 0.4, n_films)
    popularity = (rng.permutation(n_films) + 20.0) ** -1.1
    heard = np.cumsum(popularity) / popularity.sum()
    activity = rng.lognormal(0, 1.4, n_users)
    most = n_films // 10
    n_each = 20 + activity / activity.mean() * (n_ratings / n_users - 20)
    for _ in range(20):  # what the bounds take from some is the others' share
        n_each = np.clip(n_each * n_ratings / n_each.sum(), 20, most)
    n_each = np.floor(np.cumsum(n_each)).astype(int)
    n_each = np.diff(n_each, prepend=0)
    tastes = rng.random((n_users, len(GENRES))) < 0.35
    joined = rng.integers(FIRST, LAST - 400 * 86_400, n_users)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        names = np.array(GENRES)
        kinds = [names[a] if a == b else f"{names[a]}|{names[b]}" for a, b in genre]
        titles = [f"Film {k}, The ({1930 + k % 93})" for k in range(n_films)]
        movies = pd.DataFrame({"movieId": film, "title": titles, "genres": kinds})
        z.writestr("ml-32m/movies.csv", movies.to_csv(index=False, lineterminator="\n"))
        with z.open("ml-32m/ratings.csv", "w", force_zip64=True) as out:
            out.write(b"userId,movieId,rating,timestamp\n")
            for users in np.array_split(np.arange(n_users), n_users // TOGETHER + 1):
                user = np.repeat(users, 3 * n_each[users])  # a film that is drawn again counts once
                item = np.minimum(np.searchsorted(heard, rng.random(len(user))), n_films - 1)
                user, item = np.divmod(rng.permutation(np.unique(user * n_films + item)), n_films)
                order = np.argsort(user, kind="stable")
                user, item = user[order], item[order]
                place = np.arange(len(user)) - np.searchsorted(user, user)
                user, item = (x[place < n_each[user]] for x in (user, item))
                order = np.lexsort((item, user))
                user, item = user[order], item[order]
                fits = tastes[user, genre[item, 0]] + 0.5 * tastes[user, genre[item, 1]]
                stars = 2.9 + 0.9 * fits + quality[item] + rng.normal(0, 0.8, len(user))
                burst = rng.random(len(user)) < 0.8
                after = np.where(
                    burst, rng.integers(0, 5 * 86_400, len(user)), rng.integers(0, 400 * 86_400, len(user))
                )
                table = {
                    "userId": user + 1,
                    "movieId": film[item],
                    "rating": np.clip(np.rint(stars * 2) / 2, 0.5, 5),
                    "timestamp": joined[user] + after,
                }
                out.write(pd.DataFrame(table).to_csv(index=False, header=False, lineterminator="\n").encode())


class Steps:
    """Prints what each step takes."""

    def __init__(self):
        self.began, self.n_ratings = self._now(), 0
        print(f"{'step':<34}{'seconds':>9}{'of a core':>11}{'peak GiB':>10}{'us/rating':>11}{'bytes/rating':>14}")

    @staticmethod
    def _now() -> np.ndarray:
        """Seconds on the clock, and of a core that this process had: less, where others want it, too."""
        return np.array([time.perf_counter(), time.process_time()])

    def __call__(self, name: str, do: Callable):
        """The result of a step."""
        began = self._now()
        made = do()
        self.n_ratings = self.n_ratings or made.n_ratings  # the first one loads
        self._line(name, *(self._now() - began))
        return made

    def _line(self, name: str, seconds: float, of_a_core: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        each = f"{1e6 * of_a_core / self.n_ratings:>11.3f}{peak / self.n_ratings:>14.0f}"
        print(f"{name:<34}{seconds:>9.1f}{of_a_core:>11.1f}{peak / 2**30:>10.2f}{each}", flush=True)

    def whole(self) -> None:
        """All of it."""
        self._line("from load to the vote's AUC", *(self._now() - self.began))


def genres_and_year(study) -> np.ndarray:
    """Genres, one of them a column, and the year as a point on a slow circle; float32 [n_items, 21]."""
    items = study.split.data.items
    kinds = items["genres"].str.get_dummies(", ").to_numpy(np.float32)
    angle = pd.to_numeric(items["year"], errors="coerce").fillna(1970).to_numpy() / 200 * 2 * np.pi
    return np.column_stack([kinds, 0.5 * np.cos(angle), 0.5 * np.sin(angle)]).astype(np.float32)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    n_ratings = int(sys.argv[2]) if len(sys.argv) > 2 else RATINGS
    path = folder / f"{n_ratings}" / "ml-32m" / "ml-32m.zip"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        write_movielens(path.with_suffix(".part"), n_ratings)
        path.with_suffix(".part").rename(path)
        print(f"{path}: {path.stat().st_size / 2**20:,.0f} MiB, written in {time.perf_counter() - began:.0f} s")
    os.environ["RALLREC_RAW"] = str(path.parents[1])
    os.environ["RALLREC_DATA"] = str(folder / "data")

    import rallrec as rr
    from rallrec.infra.cache import digest
    from rallrec.profiles import profile

    rr.representation("genres and year")(genres_and_year)
    study = rr.Study  # loads what it needs before the clock starts
    steps = Steps()
    data = steps("load", lambda: rr.load("ml-32m"))
    print(data, *data.notes, sep="\n")
    split = steps("split", lambda: rr.split(data))
    steps("certificate", split.certificate)
    steps("hash", lambda: data.hash)
    study = rr.Study(split, rr.language_model("tiny-random"), profile("quick"))
    choice = rr.Choice("genres and year", "rerank", "vote")
    items = study.items(choice)
    steps("alpha, chosen on validation", lambda: study.best_alpha(items, study.size.k))
    auc = steps("AUC of the vote on test", lambda: study.auc(choice))
    steps.whole()
    for name, selector in (("the K most similar", "high"), ("the last K", "recent")):
        other = steps(f"AUC of the vote, {name}", lambda s=selector: study.auc(rr.Choice("genres and year", s)))
        print(f"AUC {other:.4f}")
    steps("P(like), calibrated", lambda: study.predict(choice))
    print(
        f"AUC {auc:.4f} on {len(split.test):,} test samples; data {data.hash}, test {digest(split.test.position)[:16]}"
    )


if __name__ == "__main__":
    main()
