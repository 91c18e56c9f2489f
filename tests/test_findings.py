"""The findings in words: what they say when the verdicts are others."""

import numpy as np
import pandas as pd
import pytest

from rallrec.runs import findings
from rallrec.study import ablations
from rallrec.study.claims import CLAIMS, judge

SMALL, BIG = "small", "big"
LIGHTGBM, MEANS, DIN = findings.SIMPLE


def claims_of(verdicts, datasets=("ml-100k", "bookcrossing"), readers=(SMALL, BIG), difference=0.1):
    """The table of claims with made-up verdicts, ``{(dataset, reader, compared): verdict}``; else inconclusive."""
    parts = []
    for dataset in datasets:
        for reader in readers:
            place = dataset if reader == SMALL else f"{dataset}+reads-{reader}"
            table = judge(CLAIMS, dataset, {}).assign(dataset=dataset, place=place, read_by=reader, against="")
            table = table[(table["reader"] == "LLM") | (reader == SMALL)]
            parts.append(table.assign(read_by=table["read_by"].mask(table["reader"] == "vote", "vote")))
    table = pd.concat(parts, ignore_index=True)
    told = [verdicts.get((r.dataset, r.read_by, r.compared), "inconclusive") for r in table.itertuples()]
    sign = np.where(pd.Series(told) == "contradicts", -1, 1) * table["compared"].map(
        {claim.compared: claim.expected for claim in CLAIMS}
    )
    table = table.assign(verdict=told, difference=sign * difference, n=200, users=20)
    return table.assign(difference_low=table["difference"] - 0.02, difference_high=table["difference"] + 0.03)


def main_of(datasets=("ml-100k", "bookcrossing"), simple=0.0):
    """A main table: RALLRec's LLM at 0.7 (small) and 0.75 (big), simple models ``simple`` above it."""
    rows = []
    for dataset in datasets:
        for place, reader, auc in ((dataset, SMALL, 0.7), (f"{dataset}+reads-{BIG}", BIG, 0.75)):
            of = dict(dataset=dataset, place=place, read_by=reader, adjusted_p=0.01 if simple else 0.5)
            rows.append(of | dict(method=ablations.RALLREC, auc=auc))
            change = dict(difference=simple, difference_low=simple - 0.01, difference_high=simple + 0.01)
            rows += [of | change | dict(method=method, auc=auc + simple) for method in findings.SIMPLE]
    return pd.DataFrame(rows)


def ours_of(verdict="inconclusive", dataset="ml-100k"):
    change = dict(difference=0.02, difference_low=0.01, difference_high=0.03)
    return pd.DataFrame([dict(claim=findings.BESIDE, dataset=dataset, read_by=BIG, verdict=verdict, **change)])


def five(verdicts, simple=0.0, ours="inconclusive", **options):
    found = findings.five(claims_of(verdicts, **options), main_of(simple=simple), ours_of(ours))
    assert len(found) == 5
    assert all(text.count("**") == 2 and "nan" not in text for text in found)
    return found


def test_every_comparison_has_plain_words():
    assert set(findings.PLAIN) == {claim.compared for claim in CLAIMS}
    assert {*findings.PARTS, *findings.USE, *findings.OVER_K} <= set(findings.PLAIN)
    assert set(findings.SIMPLE) <= set(ablations.FAST)
    assert findings.BESIDE in [text for text, *_ in ablations.CLAIMS]


def test_where_nothing_is_clear():
    first, parts, use, simple, over_k = five({})
    assert first.startswith("**None of the paper's comparisons replicates.**")
    assert "21 of the 27 effects that the paper reports are smaller than half of our interval" in first
    assert "(test samples: MovieLens-100K 200, BookCrossing 200)." in first
    assert "contradicted" not in first
    assert "clearly" not in parts + use + over_k
    assert use.startswith(
        "**Tuning the LLM, data augmentation and showing the same tuned LLM retrieved items instead of the last K"
    )
    assert "\n   - Not clear (narrowest interval): adding collaborative embeddings to text +0.100" in parts
    assert "alignment +0.100 [+0.080, +0.130] (MovieLens-100K, small)" in parts
    assert simple.startswith("**Simple models keep up with the LLM.**")
    assert "No difference to the LLM is clear." in simple
    assert "RALLRec minus the best ID-based model: inconclusive." in simple
    assert simple.endswith("- The LLM added to LightGBM: inconclusive.")
    assert "In none of the 34 comparisons made through several LLMs does the verdict hang on the LLM.**" in over_k


def test_what_replicates_is_counted_and_the_largest_is_named():
    right = {("ml-100k", reader, "RALLRec − ReLLa"): "replicates" for reader in (SMALL, BIG)}
    right["ml-100k", BIG, "mixture − concatenation"] = "replicates"
    first, parts, _, _, over_k = five(right)
    head = (
        "**With at least one LLM, of the paper's 14 comparisons 2 replicate on MovieLens-100K, none on BookCrossing.**"
    )
    assert first.startswith(f"{head}\n   - With every LLM: 1 on MovieLens-100K.\n   - The largest effect")
    assert "ReLLa): AUC +0.100 [+0.080, +0.130] (MovieLens-100K, small), where the paper has +0.025 on Movie" in first
    assert parts.startswith("**Alignment clearly raises the AUC on MovieLens-100K. Adding collaborative embeddings to")
    assert "\n   - Alignment: +0.100 [+0.080, +0.130] (MovieLens-100K, big)." in parts
    assert "In 1 of the 34 comparisons made through several LLMs the verdict hangs on the LLM; none of these" in over_k


def test_ours_alone_do_not_count_as_the_papers():
    text = "mixture − title, both most similar"
    first, *_ = five({("ml-100k", SMALL, text): "replicates"})
    assert first.startswith("**None of the paper's comparisons replicates.**")


def test_what_contradicts_is_a_loss():
    wrong = {("bookcrossing", SMALL, "RALLRec − untuned"): "contradicts"}
    wrong |= {("bookcrossing", BIG, "RALLRec − untuned"): "replicates"}
    first, _, use, _, over_k = five(wrong)
    assert "The paper's sign is contradicted for tuning the LLM (BookCrossing)." in first
    both = (
        "Tuning the LLM clearly raises the AUC on BookCrossing; tuning the LLM clearly lowers the AUC on BookCrossing."
    )
    assert use.startswith(f"**{both} ")
    assert "Tuning the LLM: -0.100 [-0.120, -0.070] (BookCrossing, small)" in use
    assert "In 1 of the 34 comparisons made through several LLMs the verdict hangs on the LLM; 1 of these" in over_k
    assert "1 of these replicates with one LLM and contradicts the paper with another." in over_k


def test_a_shorter_history_that_helps_is_a_loss_of_the_longer():
    """The paper's untuned LLM loses with K; where ours does, it replicates, and the sentence says loss."""
    text = "untuned, K = 30 − K = 5"
    *_, over_k = five(
        {("ml-100k", BIG, text): "replicates", ("ml-100k", "vote", "ReLLa, K = 30 − K = 5"): "replicates"}
    )
    assert over_k.startswith(
        "**Shown 30 items instead of 5, the untuned LLM clearly loses on MovieLens-100K. RALLRec and"
    )
    assert over_k.endswith("- By the vote, text retrieval: +0.100 [+0.080, +0.130] (MovieLens-100K).")


@pytest.mark.parametrize(
    ("simple", "says"),
    [(0.1, "keep up with the LLM"), (-0.1, "fall behind the LLM in part")],
)
def test_simple_models_beside_the_better_llm(simple, says):
    text = five({}, simple, "holds")[3]
    assert text.startswith(f"**Simple models {says}.**")
    assert f"RALLRec with the better LLM 0.750 / 0.750; LightGBM on the same items {0.75 + simple:.3f}" in text
    assert f"Clear differences to the LLM: LightGBM on the same items {simple:+.3f} [" in text
    assert text.endswith("- The LLM added to LightGBM: +0.020 [+0.010, +0.030] (MovieLens-100K, big).")


def test_one_llm_and_one_data_set_and_none():
    claims = claims_of({("mine", SMALL, "RALLRec − ReLLa"): "replicates"}, ("mine",), (SMALL,))
    main = main_of(("mine",))
    first, *_, over_k = findings.five(claims, main[main["read_by"] == SMALL], ours_of(dataset="mine"))
    assert first.startswith("**Of the paper's 14 comparisons 1 replicate on mine.**\n   - The")
    assert "the paper has" not in first
    assert "No comparison was made through more than one LLM." in over_k
    nothing = claims_of({}).assign(verdict="not measured")
    assert findings.five(nothing, main_of(), ours_of())[0] == "**No comparison of the paper was made through an LLM.**"


def test_the_short_table_has_ten_rows_and_the_papers_data_sets():
    right = {("ml-1m", SMALL, "RALLRec − ReLLa"): "replicates", ("ml-1m", BIG, "RALLRec − ReLLa"): "contradicts"}
    claims = claims_of(right, ("ml-100k", "ml-1m", "amazon-movies"))
    claims["against"] = np.where(claims["compared"] == findings.ID_BASED_CLAIM, "DCN", "")
    claims = claims[(claims["dataset"] != "amazon-movies") | (claims["read_by"] != SMALL)]
    table, notes = findings.short(claims)
    assert len(table) == 10
    assert table.columns.tolist() == ["gain in AUC: paper → small / big", "MovieLens-1M", "Amazon movies"]
    assert table.iloc[1].tolist() == [
        "2. RALLRec instead of text retrieval (ReLLa)",
        "+0.0248 → +0.100 ✓ / -0.100 ✗",
        "+0.0062 → – / +0.100",
    ]
    best = "The best of DeepFM, xDeepFM, DCN and AutoInt on validation is DCN on MovieLens-1M and DCN on Amazon movies."
    assert notes == ["A dash after an arrow: not measured.", best]
    whole = claims_of(right, ("ml-1m",))
    assert findings.short(whole)[1] == []
    other_tuning = (whole["compared"] == "RALLRec − without data augmentation") & (whole["read_by"] == BIG)
    whole.loc[other_tuning, "difference"] = np.nan
    (note,) = findings.short(whole)[1]
    assert note == "A dash after an arrow: not measured, since that LLM was not tuned so on these data."


def test_movielens_100k_stands_in_until_movielens_1m_is_run():
    table, notes = findings.short(claims_of({}))
    assert table.columns.tolist()[1:] == ["MovieLens-100K", "BookCrossing"]
    assert notes == ["MovieLens-100K is not among the paper's data sets: beside it stand MovieLens-1M's values."]
    assert findings.short(claims_of({}, ("mine",)))[0].columns.tolist()[1:] == ["mine"]


def test_what_is_not_run_is_said():
    claims = claims_of({}, ("ml-100k", "bookcrossing"))
    claims = claims[(claims["dataset"] != "bookcrossing") | (claims["read_by"] != SMALL)]
    said = findings.not_run(claims)
    assert said.startswith("Not yet: of MovieLens-1M and Amazon movies notebooks 05 and 06 are not run; ")
    assert "BookCrossing is not read by small." in said
    assert findings.not_run(claims, ["ml-100k"]) == "All data sets are run, and read by small and big."


def test_the_id_based_model_that_claim_1_compares_with():
    auc = dict(zip(findings.ID_BASED, (0.71, 0.72, 0.73, 0.7), strict=True))
    methods = [ablations.RALLREC, "LLM + LightGBM, RALLRec"]
    main = pd.DataFrame(dict(place="p", method=methods, auc=[0.75, 0.78]))
    texts = [f"LLM + LightGBM beats {name} (reader)" for name in auc]
    ours = pd.DataFrame(dict(place="p", claim=texts, difference=[0.78 - value for value in auc.values()]))
    claim = pd.DataFrame([dict(place="p", compared=findings.ID_BASED_CLAIM, difference=0.75 - auc["DCN"])])
    assert findings.against(main, ours, claim).to_dict() == {"p": "DCN"}
    assert findings.against(main, ours, claim.assign(difference=0.5)).empty  # none fits
    assert findings.against(main, ours, claim.assign(difference=np.nan)).empty
    assert findings.against(main, ours.assign(place="q"), claim).empty


def test_what_is_the_same_everywhere_stands_by_verdict():
    rows = [
        ("a", "d", "holds"),
        ("a", "e", "holds"),
        ("b", "d", "holds"),
        ("b", "e", "inconclusive"),
        ("c", "d", "holds"),
    ]
    table = pd.DataFrame(rows, columns=["row", "dataset", "verdict"]).assign(difference=0.1)
    text = findings.everywhere({"Ours": table, "Others": table[1:]}, 2)
    assert text.startswith("### Ours\n\nHolds on all 2 data sets:\n\n- a: +0.100 on d, +0.100 on e.\n")
    assert text.endswith("### Others\n\nNothing is the same on all data sets.\n")
    assert "b" not in text.split("###")[1].replace("both", "")
