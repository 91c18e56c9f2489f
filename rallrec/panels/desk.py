"""What the panels share: the study of the moment, the baseline, and the log of trials."""

from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

import numpy as np

from ..data.loading import DATASETS, missing_files
from ..infra.errors import InputError, one_of
from ..pipeline import Choice, Study
from ..readers.base import READERS
from .trials import PAPER, PAPER_K, PARTS, Log, Trial, asking, fill, judge, points, smaller

FEW = 50  # samples that an LLM is asked of at a turn, if nothing else is said


class Desk:
    """A study, a baseline, and trials of choices against it.

    Attributes:
        study: of the whole data set. few: the same, with as many samples as are judged at every turn.
        baseline: what every trial is compared with, the paper's method at the paper's K until `pin` changes it.
        log: of all trials.
        panels: that were opened; `offer` fills their lists anew.
    """

    def __init__(self, study: Study, opens: Callable[[str], Study] | None = None, settings: str = ""):
        self._opens, self.settings, self._studies = opens, settings, {}
        self.log, self.baseline = Log(), PAPER
        self.panels: WeakSet = WeakSet()
        self._enter(study)

    def _enter(self, study: Study) -> None:
        self._studies[study.split.data.name] = self.study = study
        self.few = study.remember("few", lambda: smaller(study))

    @property
    def dataset(self) -> str:
        return self.study.split.data.name

    @property
    def datasets(self) -> list[str]:
        """Data sets that can be opened here without a download, the present one among them."""
        others = [name for name in DATASETS if name not in missing_files()] if self._opens else []
        return list(dict.fromkeys([*others, *self._studies]))

    @property
    def said(self) -> str:
        """What is judged, in words."""
        whole, few = len(self.study.split.valid), len(self.few.split.valid)
        users = len(np.unique(self.few.split.valid.user))
        words = self.study.split.data.words
        some = f"all {few:,}" if few == whole else f"{few:,} of {whole:,}"
        return f"every turn is judged on {some} validation samples, of {users:,} {words.user}s"

    def use(self, dataset: str) -> "Desk":
        """Go to another data set, and back to the paper's method as the baseline."""
        if dataset != self.dataset:
            if dataset not in self._studies and self._opens is None:
                one_of("data set", dataset, self._studies)
            self._enter(self._studies[dataset] if dataset in self._studies else self._opens(dataset))
            self.baseline = PAPER
        return self

    def offer(self) -> None:
        """Put what was registered into the lists of all panels."""
        for panel in self.panels:
            panel.offer()

    # --- trials

    def choice(self, **chosen) -> Choice:
        """A choice; what is not said is the paper's, K too.

        Raises:
            InputError: a field that `Choice` does not have, or a value out of its range.
        """
        for name in chosen:
            one_of("knob", name, Choice.__dataclass_fields__)
        return Choice(**{"k": PAPER_K} | chosen)

    def turn(self, part: str = "valid", samples: int = FEW, **chosen) -> Trial:
        """Judge a choice against the baseline, and log it.

        Args:
            part: ``valid``, which choices are made on; ``test`` only to report what was chosen.
            samples: that an LLM is asked of, if one reads.
            chosen: fields of `Choice`: ``representation``, ``selector``, ``reader``, ``k``, ``alpha`` …
        """
        return self.judge(self.choice(**chosen), part, samples)

    def judge(self, choice: Choice, part: str = "valid", samples: int = FEW) -> Trial:
        """`turn` of a `Choice`."""
        one_of("part", part, PARTS)
        trial = judge(self.study_for(choice, samples), choice, self.baseline, part)
        self.log.add(trial)
        return trial

    def study_for(self, choice: Choice, samples: int = FEW) -> Study:
        """The study whose samples a choice, and the baseline, are judged on."""
        asks = any(READERS[c.reader].samples == "asked" for c in (choice, self.baseline))
        return asking(self.study, samples) if asks else self.few

    def curve(self, part: str = "valid", **chosen) -> dict[int, float]:
        """AUC of a choice by K, for a reader that is no LLM."""
        choice = self.choice(**chosen)
        for _ in fill(self.few, choice, part):
            pass
        return dict(sorted(points(self.few, choice, part).items()))

    def pin(self, choice: Choice | None = None) -> Choice:
        """Make a choice the baseline; none for the paper's method at the paper's K."""
        self.baseline = PAPER if choice is None else choice
        return self.baseline

    def save(self, folder: str | Path = ".") -> list[Path]:
        """Write the log: ``trials.csv``, and ``trials.sh`` with a command a trial.

        Raises:
            InputError: there is no trial yet.
        """
        if not self.log.trials:
            raise InputError("there is no trial to save yet; turn a knob first")
        table, commands = Path(folder, "trials.csv"), Path(folder, "trials.sh")
        self.log.table().to_csv(table, index=False)
        commands.write_text(self.log.commands(self.settings), encoding="utf-8")
        return [table, commands]
