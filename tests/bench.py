"""`make bench`: how fast the parts are beside the plain way of doing the same, in one run on one machine."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import rallrec as rr
from rallrec import prompts
from rallrec.cache import Cache
from rallrec.descriptions import plain
from rallrec.llm import LocalModel
from rallrec.retrieval import Representation

TEXTS, SAMPLES = 200, 2000


def timed(do: Callable) -> tuple[float, object]:
    """Seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = do()
    return time.perf_counter() - began, result


@torch.inference_mode()
def raw_forward(llm: LocalModel, tokens: int, length: int) -> float:
    """Tokens per second of the model's base on full batches of equal length: nothing padded, nothing read out."""
    x = torch.randint(3, 1000, (max(1, llm.batch_tokens // length), length))
    llm.model.base_model(x, use_cache=False)
    passes = -(-tokens // x.numel())
    seconds, _ = timed(lambda: [llm.model.base_model(x, use_cache=False) for _ in range(passes)])
    return passes * x.numel() / seconds


def verbs(llm: LocalModel, data, split, items) -> None:
    shown = rr.select(split.test.take(split.test.draw(TEXTS)), "rerank", items, 10)
    jobs = {"embed": plain(data)[:TEXTS], "choose": prompts.build(shown).texts}
    print(f"{'verb':<10}{'tokens':>9}{'tokens/s':>10}{'raw forward':>13}{'share':>8}")
    for verb, texts in jobs.items():
        lengths = [len(ids) for ids in llm.tokens(texts)]
        getattr(llm, verb)(["warm up"])
        raw = raw_forward(llm, sum(lengths), int(np.mean(lengths)))
        seconds, _ = timed(lambda verb=verb, texts=texts: getattr(llm, verb)(texts))
        speed = sum(lengths) / seconds
        print(f"{verb:<10}{sum(lengths):>9,}{speed:>10.0f}{raw:>13.0f}{speed / raw:>8.2f}")


def plain_retrieval(samples, items: np.ndarray, k: int) -> np.ndarray:
    """Similarity of all pairs, its argsort, then a loop over samples and their copied histories."""
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit.T), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(len(order))[None], axis=1)
    data, out = samples.data, np.full((len(samples), k), -1)
    for n, (position, earlier) in enumerate(zip(samples.position, samples.n_earlier, strict=True)):
        history = list(range(position - earlier, position))
        chosen = sorted(history, key=lambda h, r=rank[data.item[position]]: r[data.item[h]])[:k]
        out[n, : len(chosen)] = chosen
    return out


def retrieval(split, items: np.ndarray) -> None:
    samples = split.test.take(split.test.draw(SAMPLES))
    ours, shown = timed(lambda: rr.retrieve(samples, Representation("bench", (items,)), 30))
    theirs, expected = timed(lambda: plain_retrieval(samples, items, 30))
    agreement = (np.sort(shown.position) == np.sort(expected)).mean()
    print(
        f"\nretrieval, K = 30, {len(samples):,} samples: {ours:.2f} s batched, {theirs:.2f} s by all pairs and a loop: "
        f"{theirs / ours:.0f} times; {agreement:.1%} of the items the same (ties aside)"
    )


def main() -> None:
    data = rr.load("ml-100k")
    split = rr.split(data)
    items = np.random.default_rng(0).normal(size=(data.n_items, 320)).astype(np.float32)
    with TemporaryDirectory() as tmp:
        verbs(rr.language_model(cache=Cache(Path(tmp) / "cache")), data, split, items)
    retrieval(split, items)


if __name__ == "__main__":
    main()
