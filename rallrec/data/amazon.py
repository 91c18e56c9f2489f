"""Amazon reviews: films and television, as in the paper, and every category of 2023 by its name."""

from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import pandas as pd

from ..infra.errors import at_least
from .amazon_lines import read_items, read_ratings
from .bookcrossing import WORDS as BOOKS
from .dataset import Dataset, Words, build
from .filters import enough, in_words, latest, limits, rated_between
from .raw import Archive, damaged, located

_SITE = "https://mcauleylab.ucsd.edu/public_datasets/data/"
# other names under which users have the same, those of 2023 and of 2014 last
REVIEWS, META = (
    Archive(
        "amazon-movies",
        f"{kind}Movies_and_TV.json.gz",
        f"{_SITE}amazon_v2/{folder}/{kind}Movies_and_TV.json.gz",
        names=(*(f"{kind}Movies_and_TV.{ending}" for ending in ("json", "jsonl.gz", "jsonl")), *older),
    )
    for kind, folder, older in (
        (
            "",
            "categoryFiles",
            ("reviews_Movies_and_TV.json.gz", "reviews_Movies_and_TV.json")
            + tuple(f"{start}Movies_and_TV_5.json{ending}" for start in ("", "reviews_") for ending in (".gz", "")),
        ),
        ("meta_", "metaFiles2", ()),
    )
)


CATEGORIES = (  # of 2023, as the distributor's files are named
    *("All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products"),
    *("Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food"),
    *("Handmade_Products", "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen"),
    *("Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments"),
    *("Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Software", "Sports_and_Outdoors"),
    *("Subscription_Boxes", "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games", "Unknown"),
)
OF_2023 = "amazon-2023"  # before a category's name, and the folder of their raw files
ALBUMS = Words(
    *("album", "albums", "heard", "listener"),
    aspects="its music, genre and style, artists, mood, time and place in culture",
)
PRODUCTS = Words(
    *("product", "products", "bought", "customer", "category"),
    aspects="what it is and what it is for, its brand, features and quality, and who buys it",
)
WORDS = {
    "Books": replace(BOOKS, category="category"),
    "Kindle_Store": replace(BOOKS, category="category"),
    "CDs_and_Vinyl": ALBUMS,
    "Digital_Music": ALBUMS,
    "Movies_and_TV": Words(),
}


def amazon_movies(
    n_categories: int = 3,
    user_ratings: tuple[int, int | None] = (11, 200),
    item_ratings: tuple[int, int | None] = (10, 200),
    most_rated: int = 5000,
    like_above: float = 3,
) -> Dataset:
    """Amazon Movies and TV.

    Args:
        n_categories: only items whose category list has this many entries; the third is the genre.
        user_ratings, item_ratings: fewest and most ratings of a user and of an item that stay; applied
            again and again until nothing changes. None for the most sets no bound.
        most_rated: of the items left, this many with the most ratings stay.
    """
    at_least("n_categories", n_categories, 3)
    at_least("most_rated", most_rated, 2)
    files, name = (REVIEWS, META), "amazon-movies"
    ratings, items, notes = _read(name, files, n_categories, user_ratings, item_ratings, most_rated)
    return build(
        name,
        ratings,
        items.rename(columns={"category": "genres"}).drop(columns="store"),
        _users(ratings),
        like_above=like_above,
        item_attributes=("genres",),
        beside_title="genres",
        notes=tuple(notes),
    )


def archives_of(category: str) -> tuple[Archive, Archive]:
    """The files of a category of 2023: its reviews and its items."""
    made = []
    for kind, folder in (("", "review_categories"), ("meta_", "meta_categories")):
        name = f"{kind}{category}.jsonl"
        made.append(Archive(OF_2023, f"{name}.gz", f"{_SITE}amazon_2023/raw/{folder}/{name}.gz", names=(name,)))
    return made[0], made[1]


def amazon_2023(
    category: str,
    n_categories: int | None = None,
    user_ratings: tuple[int, int | None] = (5, None),
    item_ratings: tuple[int, int | None] = (5, None),
    most_rated: int | None = None,
    like_above: float = 3,
) -> Dataset:
    """A category of Amazon's reviews of 2023: users and items with at least 5 ratings (paper, section 3).

    With ``n_categories=3, user_ratings=(11, 200), item_ratings=(10, 200), most_rated=5000`` it is filtered as
    `amazon_movies` is.

    Args:
        category: one of `CATEGORIES`.
        n_categories: only items whose category list has this many entries; None for any number.
        user_ratings, item_ratings: as of `amazon_movies`.
        most_rated: of the items left, this many with the most ratings stay; None for all.
    """
    if n_categories is not None:
        at_least("n_categories", n_categories, 0)
    if most_rated is not None:
        at_least("most_rated", most_rated, 2)
    name = f"{OF_2023}-{category}"
    files = archives_of(category)
    ratings, items, notes = _read(name, files, n_categories, user_ratings, item_ratings, most_rated)
    return build(
        name,
        ratings,
        items,
        _users(ratings),
        like_above=like_above,
        words=WORDS.get(category, PRODUCTS),
        item_attributes=("category", "store"),
        beside_title="category",
        category=("category", None),
        notes=tuple(notes),
    )


def no_category(name: str) -> str:
    """What is wrong with a name such as ``amazon-2023/Book``, in a line."""
    asked = name.removeprefix(OF_2023).strip("/-")
    by_lower = {category.lower(): category for category in CATEGORIES}
    near = [by_lower[found] for found in get_close_matches(asked.lower().replace(" ", "_"), by_lower, 3)]
    meant = f"; did you mean {' or '.join(f'{OF_2023}/{category}' for category in near)}?" if near else ""
    said = f"has no category {asked!r}" if asked else "is to be named with a category, such as amazon-2023/Books"
    return f"{OF_2023} {said}{meant or '; docs/data_sets.md lists its 34'}"


def _read(
    name: str,
    archives: tuple[Archive, Archive],
    n_categories: int | None,
    user_ratings: tuple[int, int | None],
    item_ratings: tuple[int, int | None],
    most_rated: int | None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Ratings and items after the filters, and what was left out or mended.

    Users and items are numbers until all are filtered: their ids, categorical at the end, are kept once each.
    """
    user_ratings, item_ratings = limits("user_ratings", user_ratings), limits("item_ratings", item_ratings)
    reviews, meta = map(located, archives)
    items, notes = read_items(meta, n_categories)
    ratings, users, n_other, more = read_ratings(reviews, items["item_id"])
    depth = "" if n_categories is None else " or with another depth of categories"
    notes += [f"{n_other:,} ratings of items without a title{depth} are left out.", *more]
    if "_5." in reviews.name:
        notes.append(f"{reviews.name} is a 5-core: users and titles with fewer than 5 ratings were left out before.")
    ratings, n_again = latest(ratings)
    if n_again:
        notes.append(f"{n_again:,} ratings that the same user later gave anew to the same title are left out.")
    wanted = "" if n_categories is None else f" ({n_categories=})"
    enough(name, ratings, f"{reviews.name} together with {meta.name}{wanted}")
    enough(name, rated_between(ratings, "user_id", *user_ratings), f"{user_ratings=}")
    enough(name, rated_between(ratings, "item_id", *item_ratings), f"{item_ratings=}")
    ratings = enough(name, _core(ratings, user_ratings, item_ratings), f"{user_ratings=} with {item_ratings=}")
    notes.append(f"Kept are users with {in_words(user_ratings)} ratings and titles with {in_words(item_ratings)}.")
    ids = items["item_id"].to_numpy()
    if most_rated is not None:
        counts = ratings["item_id"].value_counts().rename_axis("item").reset_index()
        counts["item_id"] = ids[counts["item"]]
        keep = counts.sort_values(["count", "item_id"], ascending=[False, True])["item"][:most_rated]
        ratings = enough(name, ratings[ratings["item_id"].isin(keep)], f"{most_rated=}")
    items = items.iloc[np.unique(ratings["item_id"])]
    ratings = ratings.assign(user_id=_with_ids(ratings["user_id"], users), item_id=_with_ids(ratings["item_id"], ids))
    return ratings, items, [*notes, *damaged(items["title"])]


def _with_ids(numbers: pd.Series, ids: np.ndarray) -> pd.Categorical:
    used, code = np.unique(numbers, return_inverse=True)
    return pd.Categorical.from_codes(code, ids[used])


def _users(ratings: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"user_id": ratings["user_id"].cat.categories})


def _core(ratings: pd.DataFrame, user_ratings: tuple[int, int], item_ratings: tuple[int, int]) -> pd.DataFrame:
    """The ratings that stay when users and items outside their bounds go, until none is outside."""
    while True:
        n = len(ratings)
        for column, bounds in (("user_id", user_ratings), ("item_id", item_ratings)):
            ratings = rated_between(ratings, column, *bounds)
        if len(ratings) == n:
            return ratings
