"""What a careful reader finds in the papers' own numbers, and the papers do not say."""

from ..data.split import SCORED
from .paper import IN_RELLA, NAMES, PLUS, RELLA, rows_of, value

ONE, BOOKS, AMAZON = "ml-1m", "bookcrossing", "amazon-movies"
MIXED, PLUS_ROW = "Concat. w/ SSL", "RALLRec (as RALLRec+ reports it)"
RECENT, RERANKED = "RAG-enhanced tuning / Recent", "RAG-enhanced tuning / ReRank"


def _on_all(table: str, row: str, **paper: str) -> str:
    return " / ".join(f"{value(table, row, dataset, **paper):.4f}" for dataset in NAMES)


def _hurt_by_reranking() -> list[str]:
    """Where figure 3 has a lower AUC with reranking than without: a data set, and each K of it."""
    ks = [row.removeprefix("RALLRec, ") for row in rows_of("figure 3") if row.startswith("RALLRec")]
    found = []
    for dataset, name in NAMES.items():
        lower = []
        for k in ks:
            with_it, without = (value("figure 3", f"{line}, {k}", dataset) for line in ("RALLRec", "w/o ReR"))
            if with_it < without:
                lower.append(f"{k} ({with_it:.4f} against {without:.4f})")
        found += [f"{name} at {' and '.join(lower)}"] if lower else []
    return found


def admissions() -> list[str]:
    """A sentence or two on each; the values are AUCs, all of `paper.numbers`."""
    main = {row: value("table 1", row, ONE) for row in rows_of("table 1")}
    parts = {row: value("table 3", row, ONE) for row in rows_of("table 3")}
    tuned = {row: value("figure 4", row, ONE) for row in rows_of("figure 4")}
    rella = {row: value("table 2", name, ONE, paper=RELLA) for row, name in IN_RELLA.items()}
    merge = {row: value("table 5", row, ONE, paper=PLUS) for row in rows_of("table 5", PLUS)}
    rallrec, mixed = main["RALLRec"], value("table 4", MIXED, ONE)
    below = "All of these" if min(rella.values()) > rallrec else "Most of these"
    gain = {"RALLRec": rallrec - main["Hybrid-Score"], "mixed": mixed - main["Hybrid-Score"]}
    books = {table: value(table, row, BOOKS) for table, row in (("table 1", "RALLRec"), ("figure 3", "RALLRec, K=30"))}
    untuned = ("table 1", "untuned LLM"), ("table 3", "w/o IT"), ("figure 3", "Zero-shot, K=30")
    amazon = [value("table 4", row, AMAZON, paper=PLUS) for row in (PLUS, PLUS_ROW)]
    return [
        "The two papers give different values under the name RALLRec (BookCrossing / MovieLens-1M / Amazon movies): "
        f"{_on_all('table 1', 'RALLRec')} in RALLRec, {_on_all('table 4', PLUS_ROW, paper=PLUS)} in RALLRec+. The "
        "second says that its row is retrieval with the learned representation alone, which is close to the first "
        f"paper's row without reranking ({_on_all('table 4', MIXED)}). So RALLRec+'s best on MovieLens-1M "
        f"({value('table 4', PLUS, ONE, paper=PLUS):.4f}) lies below the first paper's RALLRec ({rallrec:.4f}).",
        "With the same tuning, retrieval and reranking together gain "
        f"{tuned[RERANKED] - tuned[RECENT]:+.4f} over the plain last K on MovieLens-1M (figure 4: "
        f"{tuned[RERANKED]:.4f} against {tuned[RECENT]:.4f}).",
        f"Table 3's row without retrieval ({parts['w/o Retrieval']:.4f} on MovieLens-1M) is a model that was tuned on "
        f"recent history, too. Of the {parts['RALLRec'] - parts['w/o Retrieval']:+.4f} that separate it from RALLRec, "
        f"figure 4 gives {tuned[RECENT] - tuned['tuned on recent / Recent']:+.4f} to the tuning.",
        f"Reranking lowers the AUC on {' and on '.join(_hurt_by_reranking())}, as figure 3 has it.",
        "Most of the gain over separate retrieval on MovieLens-1M is the reranker's: RALLRec has "
        f"{gain['RALLRec']:+.4f} over Hybrid-Score, without reranking {gain['mixed']:+.4f}.",
        "Values under one name differ between tables: on BookCrossing RALLRec at K = 30 has "
        f"{books['table 1']:.4f} in table 1 and {books['figure 3']:.4f} in figure 3, the untuned LLM "
        f"{' / '.join(f'{value(*cell, BOOKS):.4f}' for cell in untuned)} in table 1 / table 3 / figure 3.",
        f"The ID-based baselines are weak. On MovieLens-1M RALLRec reports {main['DeepFM']:.4f} for DeepFM; ReLLa "
        f"reports {rella['DeepFM']:.4f}, and {rella['DIN']:.4f} and {rella['SIM']:.4f} for DIN and SIM, which are not "
        f"in RALLRec's tables. ReLLa itself, tuned on fewer than 1 % of the samples, has {rella['ReLLa']:.4f} in its "
        f"own paper and {main['ReLLa']:.4f} in RALLRec's. {below} values of ReLLa's paper lie above RALLRec's "
        f"{rallrec:.4f}.",
        f"RALLRec+'s merge alone lowers the AUC on MovieLens-1M (table 5: {merge['CM only']:.4f} against "
        f"{merge['no KP, no CM']:.4f}). On Amazon movies RALLRec+ ({amazon[0]:.4f}) lies below its own row for RALLRec "
        f"({amazon[1]:.4f}).",
        "p-values are given without the test or the number of runs, and the released code scores the first "
        f"{SCORED:,} test samples only.",
        "*ID-based* means a recommender without text in table 1 and LightGCN's embedding in table 4.",
    ]
