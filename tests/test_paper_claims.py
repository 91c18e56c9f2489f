"""The paper's claims, and the verdicts on them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

import rallrec as rr
from rallrec.evaluation.metrics import Estimate
from rallrec.pipeline import METHOD, Choice
from rallrec.runs import figures, paper_figures
from rallrec.study import claims as study_claims
from rallrec.study.claims import CLAIMS, LLM, VOTE, best_id_based, counted, for_reading, judge, measured, notes, summed
from rallrec.study.compared import compared

DATASETS = ("bookcrossing", "ml-1m", "amazon-movies")


def by_text(text):
    (claim,) = [claim for claim in CLAIMS if claim.compared == text]
    return claim


@pytest.fixture
def predictions(tiny_split):
    """Samples, a good prediction, one that is about as good, and a poor one."""
    samples, rng = tiny_split.train, np.random.default_rng(0)
    noise = rng.random(len(samples))
    good = samples.liked * 0.3 + noise * 0.7
    return samples, good, samples.liked * 0.3 + rng.permutation(noise) * 0.7, rng.random(len(samples))


@pytest.mark.parametrize(
    ("text", "differences"),
    [
        ("RALLRec − best of DeepFM, xDeepFM, DCN, AutoInt", (0.7151 - 0.5541, 0.7772 - 0.7212, 0.8463 - 0.6424)),
        ("RALLRec − ReLLa", (0.0026, 0.0248, 0.0062)),
        ("RALLRec − Hybrid-Score", (0.0055, 0.0126, 0.0058)),
        ("concatenation − text", (0.7127 - 0.7034, 0.7633 - 0.7583, 0.8439 - 0.8408)),
        ("concatenation − id", (0.7127 - 0.7084, 0.7633 - 0.7580, 0.8439 - 0.8431)),
        ("mixture − concatenation", (0.0014, 0.0020, 0.0003)),
        ("reranked − most similar", (0.0010, 0.0119, 0.0021)),
        ("RALLRec − tuned on, and shown, the last K", (0.0191, 0.0085, 0.0059)),
        ("RALLRec − without data augmentation", (0.0043, 0.0209, 0.0010)),
        ("RALLRec − untuned", (0.7151 - 0.5857, 0.7772 - 0.5865, 0.8463 - 0.7120)),
        ("RALLRec − last K, the same adapter", (np.nan, 0.0008, np.nan)),
    ],
)
def test_the_papers_differences_are_those_that_its_claims_rest_on(text, differences):
    found = [by_text(text).reported(dataset) for dataset in DATASETS]
    assert found == pytest.approx(differences, abs=1e-9, nan_ok=True)


def test_longer_histories_in_the_paper():
    rallrec, rella, untuned = (
        [by_text(f"{line}, K = 30 − K = 5").reported(dataset) for dataset in DATASETS]
        for line in ("RALLRec", "ReLLa", "untuned")
    )
    assert min(rallrec + rella) > 0
    assert max(untuned) < 0


def test_eleven_claims_of_which_each_names_what_it_changes():
    assert sorted({claim.number for claim in CLAIMS}) == list(range(1, 12))
    assert len({(claim.number, claim.compared) for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.of_paper or claim.one_change  # ours are there to change one thing
        assert claim.one_change == (not claim.changes.startswith(("two things", "everything")))
        for pair in filter(None, (claim.llm, claim.vote)):
            if claim.one_change:
                differ = [name for name, parts in compared(*pair).items() if None not in parts]
                assert len(differ) == 1, claim.compared  # None: a part that one side does not read
    assert {claim.number for claim in CLAIMS if claim.of_paper} == set(range(1, 12))
    assert by_text("reranked − most similar").llm == (METHOD.read_by("llm"), Choice(selector="high", reader="llm"))


def test_movielens_1m_stands_for_movielens_100k():
    claim = by_text("RALLRec − ReLLa")
    assert claim.reported("ml-100k") == claim.reported("ml-1m")
    assert claim.reported_on("ml-100k") == claim.reported_on("ml-1m") == "ml-1m"
    assert np.isnan(claim.reported("tiny"))
    assert claim.reported_on("tiny") == ""
    assert by_text("RALLRec − last K, the same adapter").reported_on("bookcrossing") == ""


def test_verdicts(predictions):
    samples, good, similar, poor = predictions
    replicates, contradicts, open_, same, absent, longer = (
        CLAIMS[1],
        CLAIMS[2],
        CLAIMS[3],
        CLAIMS[4],
        CLAIMS[5],
        CLAIMS[15],
    )
    assert longer.expected == -1
    results = {
        (replicates, LLM): (samples, good, poor),
        (contradicts, LLM): (samples, poor, good),
        (open_, LLM): (samples, good, similar),
        (same, LLM): (samples, good, good),
        (longer, LLM): (samples, poor, good),  # the claim says that it falls
    }
    table = judge(CLAIMS, "ml-1m", results)
    llm = table[table.reader == LLM].set_index(["number", "compared"])
    told = {claim: llm.verdict[claim.number, claim.compared] for claim in CLAIMS}
    assert told[replicates] == told[longer] == "replicates"
    assert told[contradicts] == "contradicts"
    assert told[open_] == "inconclusive"
    assert told[same] == "identical predictions"
    assert told[absent] == "not measured"
    row = llm.loc[replicates.number, replicates.compared]
    e = rr.compare(samples, good, poor)["auc"]
    assert [row.difference, row.difference_low, row.difference_high] == [e.value, e.low, e.high]
    assert row.n == len(samples)
    assert row.users == len(np.unique(samples.user))
    assert not row.within  # far above the paper's difference
    assert llm.p[same.number, same.compared] == 1
    assert table[table.verdict == "not measured"][["difference", "users", "n", "p", "within"]].isna().all(axis=None)
    assert len(table) == sum(1 + (claim.vote is not None) for claim in CLAIMS)


def test_the_false_discovery_rate_of_the_table(predictions, monkeypatch):
    """A p of 0.03 alone is a finding; among many that are none it is not."""
    samples, good, _, poor = predictions
    p = iter([0.03, 0.03, *np.linspace(0.2, 0.9, len(CLAIMS) - 1)])
    monkeypatch.setattr(study_claims, "compare", lambda *_: {"auc": Estimate(0.1, 0.05, 0.2, next(p), 9)})
    alone = judge(CLAIMS, "ml-1m", {(CLAIMS[1], LLM): (samples, good, poor)})
    assert alone.verdict[alone.p.notna()].tolist() == ["replicates"]
    many = judge(CLAIMS, "ml-1m", {(claim, LLM): (samples, good, poor) for claim in CLAIMS})
    assert set(many.verdict[many.p.notna()]) == {"inconclusive"}
    known = many.p.dropna()
    assert many.p_adjusted.dropna().tolist() == pytest.approx(false_discovery_control(known))


def test_without_a_result_the_frame_stands():
    table = judge(CLAIMS, "tiny", {})
    assert set(table.verdict) == {"not measured"}
    assert len(for_reading(table, "tiny")) == len(CLAIMS)
    assert (summed(table), counted(table)) == ("Nothing was measured.", "")


def test_for_reading_and_in_words(predictions):
    samples, good, _, poor = predictions
    claim = CLAIMS[1]
    table = judge([claim], "ml-100k", {(claim, LLM): (samples, good, poor), (claim, VOTE): (samples, good, good)})
    (shown,) = for_reading(table, "ml-100k").to_dict("records")
    assert shown["paper (MovieLens-1M)"] == "+0.0248"
    assert shown["what differs"] == "two things: representation and reranking"
    assert shown["LLM"].startswith("+0.")
    assert shown["LLM"].endswith("] replicates *")
    assert shown["vote"] == "identical predictions"
    of = f"{len(samples):,} samples of 60 users"
    assert counted(table) == f"LLM: {of}. vote: {of}."
    assert summed(table).splitlines() == [
        "- **Through the LLM, 1 of the paper's 1 comparisons replicate.** *replicates*: RALLRec − ReLLa.",
        "- **By the vote, 0 of the paper's 1 comparisons replicate.** *identical predictions*: RALLRec − ReLLa.",
    ]


def test_our_comparisons_are_counted_apart_and_marked(predictions):
    samples, good, _, poor = predictions
    theirs, ours = CLAIMS[1], CLAIMS[2]
    table = judge([theirs, ours], "ml-1m", {(theirs, LLM): (samples, good, poor), (ours, LLM): (samples, poor, good)})
    assert summed(table) == (
        "- **Through the LLM, 1 of the paper's 1 comparisons replicate, and 0 of our 1.** *replicates*: RALLRec − "
        f"ReLLa. *contradicts*: {ours.compared} (ours)."
    )
    assert for_reading(table, "ml-1m").compared.tolist() == [theirs.compared, f"{ours.compared} (ours)"]


def test_notes_name_their_claims(predictions):
    lines = notes(judge(CLAIMS, "ml-1m", {})).splitlines()
    assert "- Claims 2 and 3: Here one adapter reads both sides." in lines
    assert any(line.startswith("- Claims 7, 8 and 9: Where the answers of both sides were computed") for line in lines)
    assert any(line.startswith("- Claim 10: The untuned LLM's row replicates") for line in lines)


class Made:
    """A study of made-up AUCs on validation samples."""

    def __init__(self, aucs, unaffordable=()):
        self.aucs, self.asked, self.unaffordable = aucs, [], unaffordable

    def auc(self, choice, part):
        assert part == "valid"
        return self.aucs[choice.reader]

    def affordable(self, rows):
        return {label: choice for label, choice in rows.items() if choice.reader not in self.unaffordable}

    def both(self, a, b):
        self.asked.append((a, b))
        return SimpleNamespace(), a, b


def test_the_best_id_based_recommender_is_chosen_on_validation():
    aucs = dict(DeepFM=0.7, xDeepFM=0.72, DCN=0.71, AutoInt=np.nan)
    assert best_id_based(Made(aucs)) == METHOD.read_by("xDeepFM")
    assert best_id_based(Made(dict.fromkeys(aucs, np.nan))) == METHOD.read_by("DeepFM")


def test_only_what_the_llm_may_be_asked_is_measured(monkeypatch):
    readers = dict.fromkeys(("DeepFM", "xDeepFM", "DCN", "AutoInt", "vote"), SimpleNamespace(samples="all"))
    asked = SimpleNamespace(samples="asked")
    names = {side.reader for claim in CLAIMS for side in claim.llm if isinstance(side, Choice)}
    monkeypatch.setattr(study_claims, "READERS", dict.fromkeys(names, asked) | readers)
    monkeypatch.setattr(study_claims.seeds, "both", Made.both)
    aucs = dict(DeepFM=0.7, xDeepFM=0.72, DCN=0.71, AutoInt=0.7)
    study = Made(aucs)
    everything = measured(study)
    assert len(everything) == sum(1 + (claim.vote is not None) for claim in CLAIMS)
    assert (METHOD.read_by("llm"), METHOD.read_by("xDeepFM")) in study.asked
    allowed = [METHOD.read_by("llm"), Choice("title", "high", "llm"), Choice(selector="recent", reader="llm")]
    some = measured(study, among=allowed)
    by_llm = [claim.compared for claim, reader in some if reader == LLM]
    assert by_llm == [CLAIMS[0].compared, "RALLRec − ReLLa", "RALLRec − last K, the same adapter"]
    assert [key for key in some if key[1] == VOTE] == [key for key in everything if key[1] == VOTE]
    poor = measured(Made(aucs, ["llm, tuned on recent", "llm, no augmentation"]))
    missing = [claim.compared for claim, reader in everything.keys() - poor.keys()]
    assert set(missing) == {
        "RALLRec − tuned on, and shown, the last K",
        "tuned on retrieved − on recent, both shown the last K",
        "RALLRec − without data augmentation",
    }


def test_the_best_id_based_recommender_has_several_seeds(study):
    """One training's luck is no finding: the first claim's other side is a mean over trainings."""
    (_, (samples, p, other)), *_ = measured(study, CLAIMS[:1]).items()
    assert p.shape == (len(samples),)
    assert other.shape == (study.size.seeds, len(samples))
    assert len({tuple(each) for each in other}) == study.size.seeds


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize("dataset", ["ml-100k", "bookcrossing", "tiny"])
def test_the_figure_of_the_claims(predictions, dataset):
    samples, good, similar, _ = predictions
    results = {(claim, LLM): (samples, good, similar) for claim in CLAIMS[:3]}
    results[CLAIMS[4], VOTE] = samples, good, good
    figures.use_style()
    table = judge(CLAIMS, dataset, results)
    (ax,) = paper_figures.claims(table.assign(dataset=dataset, read_by=table.reader)).axes
    figures.plt.close("all")
    assert ax.get_title().replace("\n", " ").endswith(counted(table))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "1. LLM-based beats ID-based"
    assert [label for label in labels if label in {c.compared for c in CLAIMS}] == [c.compared for c in CLAIMS]


def test_no_interval_lies_beyond_the_figure(predictions):
    samples = predictions[0]
    table = judge(CLAIMS, "tiny", {(CLAIMS[1], LLM): (samples, samples.liked * 1.0, 1 - samples.liked)})
    (ax,) = paper_figures.claims(table.assign(dataset="tiny", read_by=table.reader)).axes
    figures.plt.close("all")
    assert table.difference.max() == 1
    assert ax.get_xlim()[1] > 1


def test_the_legend_says_where_an_llm_was_asked_less():
    table = pd.DataFrame(
        {
            "dataset": ["a", "a", "a", "b", "b"],
            "number": [1, 10, 10, 1, 10],
            "read_by": ["big", "big", VOTE, "big", "big"],
            "n": [2000, 500, 9000, 153, 153],
            "difference": 0.1,
        }
    )
    assert paper_figures._fewer(table) == " (claim 10: at most 500)"
    assert paper_figures._fewer(table[table.dataset == "b"]) == ""
