import math
from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.data.split import Samples
from rallrec.evaluation.catalogue import Catalogue
from rallrec.representations.mixture import REPRESENTATIONS, mix, principal_components, represent, scaled, text
from rallrec.retrieval.retrieve import Representation, Shown, norms, similarities, unit


def best(score, allowed, count: int) -> list[int]:
    return sorted(allowed, key=lambda i: (-round(score[i] * 2**20), -i))[:count]


def plain_loop(samples: Samples, r: Representation, k: int) -> list[list[int]]:
    """Retrieval written as the definition has it, one sample at a time."""
    data, out = samples.data, []
    parts = [p / np.linalg.norm(p, axis=1, keepdims=True) for p in r.parts]
    for position, n in zip(samples.position, samples.n_earlier, strict=True):
        history = list(range(position - n, position))
        cosines = [[float(p[data.item[position]] @ p[data.item[h]]) for h in history] for p in parts]

        everything = range(n)
        if r.fusion == "cosine":
            chosen = best(cosines[0], everything, k)
        elif r.fusion == "softmax":
            soft = [np.exp(c) / np.exp(c).sum() for c in map(np.array, cosines)]
            chosen = best((soft[0] + soft[1]) / 2 * n, everything, k)
        else:
            chosen = best(cosines[0], everything, k // 2)
            chosen += best(cosines[1], [i for i in everything if i not in chosen], k - len(chosen))
        out.append([history[i] for i in chosen] + [-1] * (k - len(chosen)))
    return out


@pytest.mark.parametrize("k", [1, 4, 7, 60])
@pytest.mark.parametrize("fusion", ["cosine", "softmax", "halves"])
def test_equal_to_a_plain_loop(tiny, tiny_split, embedding, fusion, k):
    other = np.random.default_rng(4).normal(size=(tiny.n_items, 5)).astype(np.float32)
    r = Representation("r", (embedding,) if fusion == "cosine" else (embedding, other), fusion)
    shown, loop = rr.retrieve(tiny_split.test, r, k).position, np.array(plain_loop(tiny_split.test, r, k))
    longest = np.diff(tiny.start).max() - 1
    assert shown.tolist() == loop[:, :longest].tolist()
    assert (loop[:, longest:] == -1).all()


def test_ties_go_to_the_newer_rating(tiny, tiny_split):
    same = np.ones((tiny.n_items, 3), np.float32)
    shown = rr.retrieve(tiny_split.test, same, 5).position
    assert (shown == tiny_split.test.position[:, None] - np.arange(1, 6)).all()


def test_permuting_the_item_table_changes_nothing(tiny, tiny_split, embedding):
    order = np.random.default_rng(0).permutation(tiny.n_items)
    items = tiny.items.iloc[order].reset_index(drop=True)
    other = replace(tiny, items=items, item=np.argsort(order).astype(np.int32)[tiny.item])
    samples = Samples(other, tiny_split.test.position)
    assert (samples.data.items.item_id[samples.item].to_numpy() == tiny.items.item_id[tiny_split.test.item]).all()
    for kind in ("title", "description", "text", "colla", "ssl", "concatenation", "mixture", "hybrid", "mix2"):
        a = represent(kind, embedding, embedding[:, :6], embedding[:, 6:], embedding[:, 3:9])
        p = embedding[order]
        b = represent(kind, p, p[:, :6], p[:, 6:], p[:, 3:9])
        for selector in ("high", "rerank", "released"):
            shown, same = rr.select(tiny_split.test, selector, a, 5), rr.select(samples, selector, b, 5)
            assert (shown.position == same.position).all(), (kind, selector)
            assert (rr.vote(shown) == rr.vote(same)).all()


def test_planted_tastes_are_found(tiny, tiny_split):
    genre = np.stack([(tiny.items.genres == g).to_numpy(np.float32) for g in tiny.items.genres.unique()], axis=1)
    by_genre = rr.evaluate(tiny_split.test, rr.vote(rr.retrieve(tiny_split.test, genre, 3)))["auc"]
    recent = rr.evaluate(tiny_split.test, rr.vote(rr.select(tiny_split.test, "recent", k=3)))["auc"]
    assert by_genre.low > recent.high


PARTS = {"title": (7, 3), "description": (9, 50), "colla": (4, 0.01), "ssl": (4, 1)}  # dimensions, size
TRAINED = ("ssl of the title", "ssl of the description", "ssl, two-sided")


@pytest.fixture(scope="module")
def parts():
    """A study's parts, of different sizes; row 5 is zero in all of them."""
    rng = np.random.default_rng(0)
    made = {name: rng.normal(size=(300, d)) * size for name, (d, size) in PARTS.items()}
    made |= {name: rng.normal(size=(300, 4)) for name in TRAINED}
    for part in made.values():
        part[5] = 0
    made["text"] = text(made["title"], made["description"])
    made |= {f"reduced {name}": principal_components(made[name], 3) for name in ("text", "description")}
    return made


def by_row(x: np.ndarray) -> np.ndarray:
    return np.stack([row / (np.sqrt(sum(v * v for v in row)) or 1) for row in x])


def by_largest(x: np.ndarray) -> np.ndarray:
    return x / max(np.sqrt(sum(v * v for v in row)) for row in x)


def test_the_text_is_title_and_description_side_by_side(parts):
    """As they are: each weighs by its length (paper, section 2.2.1)."""
    both = text(parts["title"], parts["description"])
    assert (both == np.hstack([parts["title"], parts["description"]])).all()
    assert (represent("text", *(parts[name] for name in PARTS)).parts[0] == both).all()
    with pytest.raises(rr.InputError, match="title and description have 300 and 299 rows"):
        text(parts["title"], parts["description"][1:])


def test_each_part_of_a_mixture_has_unit_rows(parts):
    mixed = mix(parts["text"], parts["colla"], parts["ssl"])
    assert mixed.shape == (300, 16 + 4 + 4)
    assert mixed.dtype == np.float32
    for part in np.split(mixed, [16, 20], axis=1):
        assert np.linalg.norm(np.delete(part, 5, 0), axis=1) == pytest.approx(np.ones(299), abs=1e-5)
    assert (mixed[5] == 0).all()
    # so its inner product is the sum of the parts' cosines (paper, section 2.2.4)
    rows = [by_row(parts[name]) for name in ("text", "colla", "ssl")]
    assert mixed[3] @ mixed[8] == pytest.approx(sum(x[3] @ x[8] for x in rows), abs=1e-5)
    halved = mix(parts["text"], parts["colla"], weights=(1, 0.5))
    assert halved == pytest.approx(np.hstack([rows[0], rows[1] / 2]), abs=1e-6)


# what each name says, of which parts and how scaled
SAID = {
    "concatenation": (["text", "colla"], by_row),
    "mixture": (["text", "colla", "ssl"], by_row),
    "mixture, description": (["description", "colla", "ssl of the description"], by_row),
    "mixture, title": (["title", "colla", "ssl of the title"], by_row),
    "mixture, two-sided": (["text", "colla", "ssl, two-sided"], by_row),
    "mixture, principal components": (["reduced text", "colla", "ssl"], by_largest),
    "mix3": (["reduced description", "colla", "ssl of the description"], by_largest),
}
ONE = ("title", "description", "text", "colla", "ssl")


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_representation_is_what_its_name_says(parts, name):
    made = REPRESENTATIONS[name].of(parts)
    if name in SAID:
        of, scale = SAID[name]
        assert made.parts[0] == pytest.approx(np.hstack([scale(parts[each]) for each in of]), abs=1e-6)
    elif name in ONE:
        assert (made.parts[0] == parts[name]).all()
    else:
        of, fusion = {"hybrid": ("text", "halves"), "mix2": ("description", "softmax")}[name]
        assert (made.parts[0] == parts[of]).all()
        assert (made.parts[1] == parts["colla"]).all()
        assert made.fusion == fusion


def test_the_largest_row_of_what_is_scaled_has_length_one(parts):
    assert np.linalg.norm(scaled(parts["description"]), axis=1).max() == pytest.approx(1)
    assert np.linalg.norm(scaled(np.zeros((2, 2)))) == 0


@pytest.mark.parametrize(("kind", "scale"), [("float16", 1), ("float32", 1), ("float64", 1e-300), ("float64", 1e30)])
def test_products_of_unit_rows_are_exact(kind, scale):
    """In any order of their terms, and so on any processor, which plain products are not."""
    rng = np.random.default_rng(0)
    x = (rng.standard_t(2, size=(50, 3000)) * scale).astype(kind)
    x[3] = 0
    rows, plain = unit(x), x.astype(float) / scale
    lengths = np.array([math.sqrt(math.fsum(row**2)) for row in plain])
    assert norms(x)[:, 0] / scale == pytest.approx(lengths, rel=1e-6)
    plain /= np.where(lengths > 0, lengths, 1)[:, None]
    assert rows == pytest.approx(plain, abs=2e-7)
    order = rng.permutation(x.shape[1])
    products = rows @ rows.T
    assert (products == rows[:, order] @ rows[:, order].T).all()
    assert products[0, 1] == math.fsum(rows[0] * rows[1])
    assert (plain @ plain.T != plain[:, order] @ plain[:, order].T).any()
    assert products == pytest.approx(plain @ plain.T, abs=1e-6)


def test_similarities_are_cosines(tiny_split, embedding):
    shown = rr.retrieve(tiny_split.test, embedding, 60)
    similar = similarities(shown, embedding)
    rows = unit(embedding)
    n, j = 2, 3
    expected = rows[shown.samples.item[n]] @ rows[shown.item[n, j]]
    assert similar[n, j] == pytest.approx(expected, abs=1e-6)
    assert (similar[~shown.real] == 0).all()
    assert (np.diff(similar[0][shown.real[0]]) <= 1e-6).all()


def test_catalogue_equals_brute_force(embedding):
    codes, cosines = Catalogue(embedding).neighbours([0, 7], 5)
    rows = unit(embedding)
    for row, item in enumerate((0, 7)):
        score = rows @ rows[item]
        score[item] = -np.inf
        assert codes[row].tolist() == np.argsort(-score)[:5].tolist()
        assert cosines[row] == pytest.approx(np.sort(score)[::-1][:5], abs=1e-5)


def test_candidates_leave_out_what_the_user_rated(embedding):
    codes, _ = Catalogue(embedding).candidates([np.array([1, 2, 3]), np.array([4])], 10)
    assert not set(codes[0]) & {1, 2, 3}
    assert 4 not in codes[1]
    assert codes.shape == (2, 10)


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_k_must_be_positive(tiny_split, embedding, k):
    with pytest.raises(rr.InputError, match=r"k is .* at least 1"):
        rr.retrieve(tiny_split.test, embedding, k)


def test_wrong_matrix_and_unknown_kind(tiny_split, embedding):
    with pytest.raises(rr.InputError, match="has 79 rows; tiny has 80 items"):
        rr.retrieve(tiny_split.test, embedding[:-1])
    with pytest.raises(rr.InputError, match="'mix9'; it must be one of: title; description; text"):
        represent("mix9", embedding, embedding, embedding, embedding)
    with pytest.raises(rr.InputError, match="title and description have 80 and 79 rows"):
        represent("colla", embedding, embedding[1:], embedding, embedding)


@pytest.mark.parametrize(
    ("fusion", "n", "said"),
    [
        ("mean", 2, "fusion is 'mean'; it must be one of: cosine, softmax, halves"),
        ("cosine", 2, "cosine does not take 2 parts"),
        ("softmax", 1, "softmax does not take 1 parts"),
        ("halves", 3, "halves does not take 3 parts"),
    ],
)
def test_a_fusion_has_its_number_of_parts(embedding, fusion, n, said):
    with pytest.raises(rr.InputError, match=said):
        Representation("r", (embedding,) * n, fusion)


def test_a_representation_is_finite_matrices_of_one_length(embedding):
    holed = embedding.copy()
    holed[7, 2] = np.nan
    with pytest.raises(rr.InputError, match="row 7 holds a value that is no number"):
        Representation("r", (holed,))
    with pytest.raises(rr.InputError, match="must be a matrix"):
        Representation("r", (embedding[:, 0],))
    with pytest.raises(rr.InputError, match=r"its parts have \[80, 79\] rows"):
        Representation("r", (embedding, embedding[1:]), "softmax")


@pytest.mark.parametrize(
    ("shift", "said"),
    [(0, "the target itself"), (1, "none of the user's earlier ratings"), (-1000, "none of the user's earlier")],
)
def test_what_is_shown_lies_in_the_history(tiny_split, shift, said):
    """Neither the target, nor the future, nor another user's ratings."""
    test = tiny_split.test.take(tiny_split.test.user == tiny_split.test.user[-1])
    fine = rr.select(test, "recent", k=3).position
    Shown(test, fine)
    wrong = fine.copy()
    wrong[0, 1] = max(0, test.position[0] + shift)
    with pytest.raises(rr.InputError, match=f"sample 0 is shown position {wrong[0, 1]}, {said}"):
        Shown(test, wrong)


def test_positions_have_a_form(tiny_split):
    test, fine = tiny_split.test, rr.select(tiny_split.test, "recent", k=3).position
    for wrong, said in (
        (fine[:-1], "samples need"),
        (fine[:, 0], "samples need"),
        (fine.astype(float), "an array of whole numbers"),
        (np.where(np.arange(3) == 0, -1, fine), "padding"),
        (np.where(np.arange(3) == 2, -2, fine), "shown position -2"),
    ):
        with pytest.raises(rr.InputError, match=said):
            Shown(test, wrong)
