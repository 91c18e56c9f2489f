"""The sizes of a run: one frozen table a profile."""

from dataclasses import dataclass

from .infra.errors import one_of

PAPER = "paper"
# what an adapter is tuned on: as many sequences of training samples in each of these selectors' orders
TUNINGS = {
    PAPER: ("high", "sequential"),  # retrieved items by similarity and by time: data augmentation (paper, section 2.3)
    "no augmentation": ("high",),  # by similarity alone (paper, table 3)
    "recent": ("recent",),  # the last K: without retrieval (paper, table 3 and figure 4)
    "ours": ("recent", "released", "learned"),
}


@dataclass(frozen=True)
class Profile:
    """How much of everything a run does.

    Attributes:
        k: history items shown to the fast readers.
        llm_k: history items in an LLM's prompt.
        llm_samples: test samples, the same for all, that the LLM reader answers in the main table.
        ablation_samples: likewise for the LLM reader's ablations.
        valid_samples: validation samples that it answers, to be combined with other readers.
        seed_samples: test samples on which adapters of other seeds are compared.
        study_samples: validation samples on which prompts are compared.
        reason_samples: test samples that the LLM gives reasons for, reason_answers: how often for each.
        curve_k: values of K in the ablation of K.
        decays, learning_rates: of the conventional recommenders; all pairs are tried on validation samples.
        seeds: how many, of what is cheap to train.
        lightgcn, alignment, adapter: settings of these three trainings.
        released_epochs: at most so many epochs for each graph that is trained anew under the released protocol.
        borrow: the data set whose published adapter is used where a data set has none of its own;
            None trains one.
        tunings: whose adapters are trained where they are not at hand; rows of others are left out then.
    """

    k: int
    llm_k: int
    llm_samples: int
    ablation_samples: int
    valid_samples: int
    seed_samples: int
    study_samples: int
    reason_samples: int
    reason_answers: int
    curve_k: tuple[int, ...]
    decays: tuple[float, ...]
    learning_rates: tuple[float, ...]
    seeds: int
    lightgcn: dict
    alignment: dict
    adapter: dict
    released_epochs: int = 400
    borrow: str | None = None
    tunings: tuple[str, ...] = (PAPER,)


PROFILES = {
    # two cores, no GPU, minutes
    "quick": Profile(
        k=10,
        llm_k=10,
        llm_samples=2000,
        ablation_samples=500,
        valid_samples=500,
        seed_samples=500,
        study_samples=300,
        reason_samples=30,
        reason_answers=6,
        curve_k=(1, 2, 3, 5, 10, 15, 20, 30, 50),
        decays=(1.0, 10.0),
        learning_rates=(1e-3, 3e-3),
        seeds=3,
        lightgcn=dict(dimensions=64, layers=2, decay=0.01),
        alignment=dict(),
        adapter=dict(sequences=448, valid_sequences=32, k=15, tells=("statistics",)),
        released_epochs=120,
        borrow="ml-100k",
    ),
    # the paper's sizes, for a GPU
    "full": Profile(
        k=30,
        llm_k=30,
        llm_samples=10_000,
        ablation_samples=10_000,
        valid_samples=5_000,
        seed_samples=5_000,
        study_samples=2_000,
        reason_samples=1_000,
        reason_answers=16,
        curve_k=(1, 2, 3, 5, 10, 15, 20, 30, 50),
        decays=(0.01, 0.1, 1.0),
        learning_rates=(1e-3, 3e-3),
        seeds=3,
        lightgcn=dict(dimensions=128, layers=3, learning_rate=1e-3, epochs=1000, patience=20),
        alignment=dict(hidden=512),
        tunings=tuple(TUNINGS),
        adapter=dict(sequences=8192, valid_sequences=512, batch=32, k=30, tells=("statistics",)),
    ),
    # the package's own tests
    "smoke": Profile(
        k=5,
        llm_k=3,
        llm_samples=30,
        ablation_samples=20,
        valid_samples=30,
        seed_samples=20,
        study_samples=20,
        reason_samples=4,
        reason_answers=2,
        curve_k=(1, 3, 5, 10),
        decays=(0.1,),
        learning_rates=(1e-2,),
        seeds=2,
        lightgcn=dict(dimensions=16, layers=2, epochs=40),
        alignment=dict(hidden=32, epochs=20),
        tunings=tuple(TUNINGS),
        adapter=dict(
            sequences=18,
            valid_sequences=8,
            batch=4,
            k=3,
            checks=2,
            tells=("statistics",),
        ),
    ),
}


def profile(name: str) -> Profile:
    """A profile by its name: ``quick``, ``full``, ``smoke``."""
    one_of("profile", name, PROFILES)
    return PROFILES[name]
