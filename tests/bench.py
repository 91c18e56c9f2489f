"""`make bench`: how fast the parts are beside the plain way, or a peer, that does the same, in one run on one machine.

The plain ways are those of the released code, written anew: loops over rows with a copy of the history
in each sample, similarity of all pairs of items and its argsort, small batches through the whole graph,
text by text. Each part runs in a process of its own, so that its peak memory can be told.

    python tests/bench.py            all parts
    python tests/bench.py PART       one of them, here
"""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import rallrec as rr
from rallrec.data.generated import write_large
from rallrec.evaluation.resampling import aucs, resampled_users
from rallrec.infra import products
from rallrec.infra.cache import Cache
from rallrec.infra.errors import InputError
from rallrec.infra.files import data_dir
from rallrec.llm.local import LocalModel
from rallrec.pipeline import Study
from rallrec.readers import layers, prompts
from rallrec.readers.conventional import MODELS, baseline
from rallrec.representations import alignment as alignments
from rallrec.representations.lightgcn import train_lightgcn
from rallrec.representations.text import plain
from rallrec.retrieval.learned import learn_reranker
from rallrec.retrieval.selectors import ALPHA

TEXTS, SAMPLES, K, WIDTH = 200, 10_000, 30, 320
RESAMPLES = 1000
ROUNDS = 3  # of an LLM's verb and its raw forward pass, by turns: a machine's speed drifts
USERS = 1000  # of MovieLens-1M, whose ratings the row-wise loop reads


def timed(do: Callable) -> tuple[float, object]:
    """Seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = do()
    return time.perf_counter() - began, result


def movielens():
    """MovieLens-1M where its raw file is, else 100K."""
    try:
        return rr.load("ml-1m")
    except InputError as e:
        print(f"({e}; MovieLens-100K in its place)")
        return rr.load("ml-100k")


def random_items(data) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(data.n_items, WIDTH)).astype(np.float32)


# --- the LLM -----------------------------------------------------------------------------------------


@torch.inference_mode()
def raw_forward(llm: LocalModel, tokens: int, length: int) -> float:
    """Tokens per second of the model's base on full batches of equal length: nothing padded, nothing read out."""
    x = torch.randint(3, 1000, (max(1, llm.batch_tokens // length), length))
    llm.model.base_model(x, use_cache=False)
    passes = -(-tokens // x.numel())
    seconds, _ = timed(lambda: [llm.model.base_model(x, use_cache=False) for _ in range(passes)])
    return passes * x.numel() / seconds


def verbs() -> None:
    """The LLM's verbs beside its raw forward pass, by turns: medians, and the shares of all rounds."""
    data = rr.load("ml-100k")
    split, items = rr.split(data), random_items(data)
    shown = rr.select(split.test.take(split.test.draw(TEXTS)), "rerank", items, 10)
    jobs = {"embed": plain(data), "choose": prompts.build(shown).texts}
    with TemporaryDirectory() as tmp:
        llm = rr.language_model(cache=Cache(Path(tmp) / "cache"))
        print(f"{'verb':<10}{'tokens':>9}{'tokens/s':>10}{'raw forward':>13}{'share':>8}")
        for verb, texts in jobs.items():
            lengths = [len(ids) for ids in llm.tokens(texts)]
            raw, speed = np.empty((2, ROUNDS))
            for n in range(ROUNDS):
                llm.cache = Cache(Path(tmp) / f"{verb}-{n}")
                getattr(llm, verb)(["warm up"])
                raw[n] = raw_forward(llm, sum(lengths), int(np.mean(lengths)))
                seconds, _ = timed(lambda verb=verb, texts=texts: getattr(llm, verb)(texts))
                speed[n] = sum(lengths) / seconds
            each = ", ".join(f"{share:.2f}" for share in speed / raw)
            print(
                f"{verb:<10}{sum(lengths):>9,}{np.median(speed):>10.0f}{np.median(raw):>13.0f}"
                f"{np.median(speed / raw):>8.2f}  ({each})"
            )


def server() -> None:
    """A server's `choose` beside the local backend's, the same prompts (RALLREC_SERVER names it)."""
    if not (name := os.environ.get("RALLREC_SERVER")):
        print("no RALLREC_SERVER given")
        return
    split = rr.split(rr.load("ml-100k"))
    some = split.test.take(split.test.draw(TEXTS + 1))
    first, *texts = prompts.build(rr.select(some, "recent", None, 10)).texts
    seconds = {}
    with TemporaryDirectory() as tmp:
        for backend, llm in {
            "local": rr.language_model(cache=Cache(Path(tmp) / "local")),
            "server": rr.language_model(name, cache=Cache(Path(tmp) / "server")),
        }.items():
            llm.choose([first])  # warm up
            seconds[backend], _ = timed(lambda llm=llm: llm.choose(texts))
    for backend, s in seconds.items():
        print(f"{backend}: {len(texts)} prompts in {s:.1f} s, {len(texts) / s:.1f} prompts/s")
    print(f"the server has {seconds['local'] / seconds['server']:.2f} times the local backend's throughput")


def answers(faster: bool) -> None:
    """P(like) of 100 prompts, with the faster library for linear layers or as torch chooses."""
    split = rr.split(rr.load("ml-100k"))
    texts = prompts.build(rr.select(split.test.take(split.test.draw(100)), "recent", None, 10)).texts
    if not faster:
        products.onednn_is_faster = lambda: False
    with TemporaryDirectory() as tmp:
        llm = rr.language_model(cache=Cache(Path(tmp) / "cache"))
        llm.choose(["warm up"])
        seconds, p = timed(lambda: llm.choose(texts))
    print(json.dumps(dict(seconds=seconds, check=round(float(p[:, 0].sum()), 2))))


def answers_ours() -> None:
    """P(like) of 100 prompts by the default LLM in float32, oneDNN's products on AMD's AVX-512."""
    answers(True)


def answers_plain() -> None:
    """Products as torch chooses."""
    answers(False)


# --- loading and splitting ---------------------------------------------------------------------------


def load() -> None:
    """Load and split, whole."""
    seconds, data = timed(movielens)
    more, split = timed(lambda: rr.split(data))
    sizes = [len(p) for p in (split.train, split.valid, split.test)]
    print(f"{data.name}: loaded in {seconds:.1f} s, split in {more:.2f} s into {sizes}")


def few_users():
    """The raw rows of the first users, as the row-wise loop takes them."""
    data = movielens()
    end = data.start[min(USERS, data.n_users)]
    columns = (data.user[:end], data.item[:end], data.rating[:end], data.time[:end])
    import pandas as pd

    return data, pd.DataFrame(dict(zip(("user_id", "item_id", "rating", "time"), columns, strict=True)))


def samples_ours() -> None:
    """Samples of 1,000 users: built and split as slices."""
    data, rows = few_users()
    rows["user_id"] += data.users.user_id.min()
    rows["item_id"] = data.items.item_id.to_numpy()[rows["item_id"]]
    from rallrec.data.dataset import build

    seconds, split = timed(lambda: rr.split(build("some", rows, data.items, data.users)))
    print(json.dumps(dict(seconds=seconds, samples=sum(len(p) for p in (split.train, split.valid, split.test)))))


def samples_plain() -> None:
    """Samples of 1,000 users: a loop over rows, each sample with a copy of its history."""
    _, rows = few_users()

    def loop() -> int:
        histories, samples = {}, []
        for _, row in rows.sort_values(["time", "user_id", "item_id"]).iterrows():
            history = histories.setdefault(row["user_id"], [])
            if len(history) >= 5:
                items, ratings = [h[0] for h in history], [h[1] for h in history]
                samples.append((row["user_id"], row["item_id"], row["rating"] > 3, items, ratings))
            history.append((row["item_id"], row["rating"]))
        return len(samples)

    seconds, n = timed(loop)
    print(json.dumps(dict(seconds=seconds, samples=n)))


# --- retrieval ---------------------------------------------------------------------------------------


def retrieval() -> None:
    """Retrieve and rerank, K = 30, all test samples."""
    data = movielens()
    test, items = rr.split(data).test, random_items(data)
    seconds, _ = timed(lambda: rr.rerank(test, items, K))
    print(f"{data.name}: {len(test):,} test samples, {WIDTH} dimensions, K = {K}: {seconds:.1f} s")


def retrieval_ours() -> None:
    """Retrieve and rerank 10,000 samples: one product a user."""
    data = movielens()
    split, items = rr.split(data), random_items(data)
    some = split.test.take(split.test.draw(SAMPLES))
    seconds, shown = timed(lambda: rr.rerank(some, items, K))
    print(json.dumps(dict(seconds=seconds, check=int(np.sort(shown.position).sum()))))


def retrieval_plain() -> None:
    """Retrieve and rerank 10,000 samples: similarity of all pairs, its argsort, a loop over samples."""
    data = movielens()
    split, items = rr.split(data), random_items(data)
    some = split.test.take(split.test.draw(SAMPLES))

    def loop() -> np.ndarray:
        unit = items / np.linalg.norm(items, axis=1, keepdims=True)
        order = np.argsort(-(unit @ unit.T), axis=1)
        out = np.full((len(some), K), -1)
        for n, (position, earlier) in enumerate(zip(some.position, some.n_earlier, strict=True)):
            at = {data.item[p]: p for p in range(position - earlier, position)}
            similar = [at[i] for i in order[data.item[position]] if i in at][:K]
            recent, score = range(position - 1, position - 1 - min(K, earlier), -1), {}
            for channel, weight in ((similar, ALPHA), (recent, 1 - ALPHA)):
                for rank, p in enumerate(channel, 1):
                    score[p] = score.get(p, 0) + weight / rank
            chosen = sorted(score, key=lambda p: (round(score[p], 9), p))[-K:]
            out[n, : len(chosen)] = chosen
        return out

    seconds, position = timed(loop)
    print(json.dumps(dict(seconds=seconds, check=int(np.sort(position).sum()))))


def nearest_ours() -> None:
    """The K most similar items of 10,000 histories."""
    split = rr.split(movielens())
    some, items = split.test.take(split.test.draw(SAMPLES)), random_items(split.data)
    seconds, shown = timed(lambda: rr.select(some, "high", items, K))
    print(json.dumps(dict(seconds=seconds, check=int(shown.position.sum()))))


def nearest_faiss() -> None:
    """FAISS: a flat index a user, searched up to each sample's time."""
    import faiss

    split = rr.split(movielens())
    data, some, items = split.data, split.test.take(split.test.draw(SAMPLES)), random_items(split.data)

    def search() -> np.ndarray:
        unit = items / np.linalg.norm(items, axis=1, keepdims=True)
        out = np.full((len(some), K), -1)
        for user in np.unique(some.user):
            first = data.start[user]
            index = faiss.IndexFlatIP(WIDTH)
            index.add(unit[data.item[first : data.start[user + 1]]])
            for n in np.flatnonzero(some.user == user):
                earlier = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, int(some.n_earlier[n])))
                _, found = index.search(unit[some.item[n]][None], K, params=earlier)
                out[n] = np.where(found[0] >= 0, found[0] + first, -1)
        return out

    seconds, position = timed(search)
    print(json.dumps(dict(seconds=seconds, check=int(position.sum()))))


# --- the learned reranker ----------------------------------------------------------------------------


def reranker() -> None:
    """The learned reranker of MovieLens-100K: fitted anew, taken from the published one; all test samples ranked."""
    study = Study.of("ml-100k", "smollm2-135m")
    taken, ranker = timed(lambda: study.ranker)
    ranked, _ = timed(lambda: ranker.select(study.split.test, 10))
    with TemporaryDirectory() as tmp:
        made = dict(proposes=ranker.proposes, compared=ranker.compared, cache=Cache(Path(tmp) / "cache"))
        fitted, _ = timed(lambda: learn_reranker(study.split, **made))
    print(
        f"fitted in {fitted:.1f} s, taken in {taken:.1f} s; {len(study.split.test):,} samples ranked in {ranked:.1f} s"
    )


# --- intervals ---------------------------------------------------------------------------------------


def scored():
    """10,000 samples of users, their labels and made-up scores."""
    split, rng = rr.split(movielens()), np.random.default_rng(0)
    some = split.test.take(split.test.draw(SAMPLES))
    p = np.round(rng.normal(some.liked, 1.5), 3)  # some ties
    return some.liked, p, *resampled_users(some.user, RESAMPLES, 0)


def interval_ours() -> None:
    """AUC with its interval, 1,000 resamples of users: sorted once, then products."""
    given = scored()
    seconds, values = timed(lambda: aucs(*given))
    print(json.dumps(dict(seconds=seconds, check=np.percentile(values[1:], [2.5, 97.5]).round(6).tolist())))


def interval_sklearn() -> None:
    """scikit-learn's roc_auc_score for each resample."""
    from sklearn.metrics import roc_auc_score

    liked, p, user, drawn = scored()
    weights = drawn[:, user]
    seconds, values = timed(lambda: [roc_auc_score(liked, p, sample_weight=w) for w in weights])
    print(json.dumps(dict(seconds=seconds, check=np.percentile(values[1:], [2.5, 97.5]).round(6).tolist())))


# --- LightGCN ----------------------------------------------------------------------------------------


def lightgcn() -> None:
    """LightGCN, 128 dimensions, 3 layers, to the plateau of validation recall."""
    split = rr.split(movielens())
    with TemporaryDirectory() as tmp:
        settings = dict(dimensions=128, layers=3, epochs=80)
        seconds, graph = timed(lambda: train_lightgcn(split, Cache(Path(tmp) / "cache"), **settings))
    recall = ", ".join(f"{e}: {r:.4f}" for e, r in zip(graph.epoch, graph.recall, strict=True))
    print(f"{split.data.name}: {graph.epoch[-1]} epochs in {seconds:.0f} s; recall@20 on validation by epoch: {recall}")


def epochs(batch_steps: int) -> None:
    split = rr.split(movielens())
    with TemporaryDirectory() as tmp:
        settings = dict(dimensions=128, layers=3, epochs=2, check_every=2, most_steps=batch_steps)
        seconds, _ = timed(lambda: train_lightgcn(split, Cache(Path(tmp) / "cache"), **settings))
    print(json.dumps(dict(seconds=seconds)))


def epochs_ours() -> None:
    """Two epochs of LightGCN: at most six steps each."""
    epochs(6)


def epochs_plain() -> None:
    """Two epochs of LightGCN: a step through the whole graph for every 8,192 edges."""
    epochs(10**6)


def epochs_pyg() -> None:
    """PyTorch Geometric's LightGCN: a step for every 8,192 edges."""
    from torch_geometric.nn import LightGCN

    split = rr.split(movielens())
    data, train = split.data, split.train
    liked = train.position[train.liked]
    user, item = (torch.tensor(x[liked], dtype=torch.long) for x in (data.user, data.item))
    edges = torch.stack([user, item + data.n_users])
    both = torch.cat([edges, edges.flip(0)], 1)
    model = LightGCN(data.n_users + data.n_items, 128, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run_epochs() -> None:
        for _ in range(2):
            for rows in torch.randperm(len(user)).split(8192):
                not_rated = torch.randint(data.n_items, (len(rows),)) + data.n_users
                asked = torch.cat([edges[:, rows], torch.stack([user[rows], not_rated])], 1)
                right, wrong = model(both, asked).chunk(2)
                loss = model.recommendation_loss(right, wrong, node_id=asked.unique())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    seconds, _ = timed(run_epochs)
    print(json.dumps(dict(seconds=seconds)))


def alignment(loss: Callable | None) -> None:
    data = movielens()
    rng = np.random.default_rng(0)
    text, colla = (rng.normal(size=(data.n_items, d)).astype(np.float32) for d in (1152, 64))
    ours = alignments.alignment_loss
    if loss:
        alignments.alignment_loss = lambda a, b, t=1.0, rows=None: (
            ours(a, b, t, rows) if rows is not None else loss(a, b)
        )
    with TemporaryDirectory() as tmp:
        settings = dict(cache=Cache(Path(tmp) / "cache"), epochs=30)
        seconds, made = timed(lambda: alignments.train_alignment(text, colla, **settings))
    print(json.dumps(dict(seconds=seconds, check=round(float(made.loss.min()), 3))))


def alignment_ours() -> None:
    """30 epochs of the alignment of all items: cosines a block at a time, none kept."""
    alignment(None)


def alignment_plain() -> None:
    """Two cross entropies."""
    own = torch.nn.functional.cross_entropy

    def plain(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        logits, at = a @ b.T, torch.arange(len(a))
        return own(logits, at) + own(logits.T, at)

    alignment(plain)


def networks() -> None:
    split = rr.split(rr.load("ml-100k"))
    with TemporaryDirectory() as tmp:
        once = dict(cache=Cache(Path(tmp) / "cache"), epochs=2)
        seconds, _ = timed(lambda: [baseline(model, split, **once) for model in MODELS])
    print(json.dumps(dict(seconds=seconds)))


def networks_ours() -> None:
    """Two epochs of each of the six conventional recommenders on a core: few passes over memory."""
    networks()


def networks_rechub() -> None:
    """torch-rechub's layers."""
    layers.faster = lambda model: model
    networks()


# --- the notebooks -----------------------------------------------------------------------------------


def notebooks(dataset: str) -> None:
    rr.load(dataset)  # fetched before it is timed
    with TemporaryDirectory() as tmp:
        data = Path(tmp) / "data"
        data.mkdir()
        for name in ("raw", "models"):
            (data / name).symlink_to(data_dir().resolve() / name)
        for said in ("nothing kept", "everything kept"):
            places = dict(RALLREC_DATA=str(data), RALLREC_OUTPUT=f"{tmp}/{said}")
            command = [sys.executable, "-m", "rallrec", "all", "--", dataset]
            seconds, done = timed(
                lambda env=os.environ | places, command=command: subprocess.run(
                    command, env=env, check=True, capture_output=True, text=True
                )
            )
            each = re.findall(r"^(\d\d)_\w+ +done in +(\d+) s", done.stdout, re.MULTILINE)
            print(f"{said}: {seconds:.0f} s; {', '.join(f'{name}: {s} s' for name, s in each)}")


def notebooks_100k() -> None:
    """The six notebooks of MovieLens-100K with the published answers: nothing kept of an earlier run, then all."""
    notebooks("ml-100k")


def notebooks_1m() -> None:
    """The same of MovieLens-1M, where its raw file is."""
    try:
        notebooks("ml-1m")
    except InputError as e:
        print(e)


# --- a large catalogue -------------------------------------------------------------------------------


def large() -> None:
    """200,000 items and 10 million generated ratings: load, split, retrieval, FAISS index."""
    with TemporaryDirectory() as tmp:
        seconds, _ = timed(lambda: subprocess.run([sys.executable, __file__, "write_large", tmp], check=True))
        print(f"written in {seconds:.0f} s")
        seconds, data = timed(lambda: rr.load(f"{tmp}/large"))
    print(f"{data}: loaded in {seconds:.0f} s")
    seconds, split = timed(lambda: rr.split(data))
    print(f"split into {[len(p) for p in (split.train, split.valid, split.test)]} in {seconds:.1f} s")
    items = np.random.default_rng(0).normal(size=(data.n_items, 64)).astype(np.float32)
    some = split.test.take(split.test.draw(100_000))
    seconds, _ = timed(lambda: rr.rerank(some, items, K))
    print(f"{len(some):,} samples retrieved and reranked, K = {K}: {seconds:.1f} s")
    seconds, catalogue = timed(lambda: rr.Catalogue(items))
    print(f"FAISS index of {data.n_items:,} items, {items.shape[1]} dimensions: {seconds:.0f} s")
    seconds, _ = timed(lambda: catalogue.neighbours(np.arange(1000), 10))
    print(f"10 neighbours of 1,000 items: {seconds:.2f} s")


# --- the run -----------------------------------------------------------------------------------------

ALONE = (verbs, server, load, retrieval, reranker, lightgcn, notebooks_100k, notebooks_1m, large)
PAIRS = {
    "the plain way": (
        (samples_ours, samples_plain),
        (retrieval_ours, retrieval_plain),
        (epochs_ours, epochs_plain),
        (alignment_ours, alignment_plain),
        (answers_ours, answers_plain),
    ),
    "a peer": (
        (nearest_ours, nearest_faiss),
        (interval_ours, interval_sklearn),
        (epochs_ours, epochs_pyg),
        (networks_ours, networks_rechub),
    ),
}


def run(part: Callable) -> tuple[str, float]:
    """What a part prints, and its peak memory in GiB, from a process of its own."""
    done = subprocess.run([sys.executable, __file__, part.__name__], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{part.__name__} failed:\n{done.stderr}")
    *said, peak = done.stdout.strip().split("\n")
    return "\n".join(said), float(peak)


def main() -> None:
    for part in ALONE:
        said, peak = run(part)
        print(f"## {part.__doc__}\n{said}\npeak {peak:.2f} GiB\n", flush=True)
    for beside, pairs in PAIRS.items():
        print(f"## Beside {beside}, on the same input\n")
        print(f"{'':<12}{'ours':>9}{'other':>9}{'times':>8}{'peak, GiB':>12}{'other':>8}  what")
        for ours, theirs in pairs:
            compare(ours, theirs)
        print()


def compare(ours: Callable, theirs: Callable) -> None:
    """Print a line: seconds and memory of two parts that do the same."""
    (a, peak_a), (b, peak_b) = run(ours), run(theirs)
    a, b = json.loads(a.split("\n")[-1]), json.loads(b.split("\n")[-1])
    if any(a[k] != b[k] for k in a if k != "seconds"):
        print(f"{ours.__name__}: results differ, {a} and {b} (ties aside)")
    times = b["seconds"] / a["seconds"]
    head = f"{ours.__name__.removesuffix('_ours'):<12}{a['seconds']:>8.2f}s{b['seconds']:>8.2f}s{times:>8.1f}"
    print(f"{head}{peak_a:>12.2f}{peak_b:>8.2f}  {ours.__doc__} Other: {theirs.__doc__}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "write_large":
        write_large(Path(sys.argv[2]) / "large")
    else:
        parts = {
            part.__name__: part for part in (*ALONE, *(p for pairs in PAIRS.values() for pair in pairs for p in pair))
        }
        parts[sys.argv[1]]()
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.3f}")
