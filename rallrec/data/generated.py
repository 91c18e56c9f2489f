"""Generated data: a tiny set for tests, a large one for the bench."""

from pathlib import Path

import numpy as np
import pandas as pd

from .dataset import Dataset, build


def tiny(n_users: int = 60, n_items: int = 80, seed: int = 0) -> Dataset:
    """Planted tastes: each user likes two of four genres, so that retrieval by genre must win."""
    rng = np.random.default_rng(seed)
    genres = np.array(["Comedy", "Horror", "Western", "Musical"])
    genre = rng.integers(0, len(genres), n_items)
    adjective = rng.choice(["Silent", "Golden", "Broken", "Last", "Hidden"], n_items)
    noun = rng.choice(["River", "Crown", "Letter", "Garden", "Engine"], n_items)
    tastes = np.stack([rng.permutation(len(genres))[:2] for _ in range(n_users)])
    frames = []
    for user in range(n_users):
        item = rng.permutation(n_items)[: rng.integers(12, 40)]
        likes = np.isin(genre[item], tastes[user]) ^ (rng.random(len(item)) < 0.1)
        frames.append(
            pd.DataFrame(
                {
                    "user_id": user + 1,
                    "item_id": item + 1,
                    "rating": np.where(likes, rng.integers(4, 6, len(item)), rng.integers(1, 4, len(item))),
                    # users overlap in time, so that some users of the test period are in training too
                    "time": 900_000_000 + rng.integers(0, 3000, len(item)) * 6000 + user * 90_000,
                }
            )
        )
    items = pd.DataFrame(
        {
            "item_id": np.arange(n_items) + 1,
            "title": [f"The {a} {n} {k + 1}" for k, (a, n) in enumerate(zip(adjective, noun, strict=True))],
            "year": (1950 + rng.integers(0, 50, n_items)).astype(str),
            "genres": genres[genre],
        }
    )
    users = pd.DataFrame(
        {
            "user_id": np.arange(n_users) + 1,
            "age": rng.integers(18, 70, n_users),
            "gender": rng.choice(["male", "female"], n_users),
            "occupation": rng.choice(["writer", "nurse", "pilot"], n_users),
        }
    )
    return build(
        "tiny",
        pd.concat(frames, ignore_index=True),
        items,
        users,
        item_attributes=("year", "genres"),
        user_attributes=("age", "gender", "occupation"),
    )


def write_large(folder: Path, n_items: int = 200_000, n_users: int = 100_000, n_ratings: int = 10_000_000) -> None:
    """Write a folder of one's own (see `own_data`) with planted tastes, for the bench.

    Items and users lie in 50 tastes; popularity falls as a power of the rank; a user rates an item of
    their own taste higher.
    """
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(10, n_items + 10) ** 0.8
    user = rng.integers(0, n_users, n_ratings * 5 // 4)
    item = rng.choice(n_items, len(user), p=popularity / popularity.sum())
    pair = rng.permutation(np.unique(user * n_items + item))[:n_ratings]
    user, item = pair // n_items, pair % n_items
    rating = np.clip(rng.integers(1, 5, len(pair)) + 2 * (user % 50 == item % 50), 1, 5)
    time = 1_500_000_000 + rng.integers(0, 10**8, len(pair))
    folder.mkdir(parents=True, exist_ok=True)
    table = dict(user_id=user, item_id=item, rating=rating, time=time)
    pd.DataFrame(table).to_csv(folder / "ratings.csv", index=False)
    titles = [f"Work {k}" for k in range(n_items)]
    pd.DataFrame(dict(item_id=np.arange(n_items), title=titles)).to_csv(folder / "items.csv", index=False)
