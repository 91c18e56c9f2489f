"""The command line behind the Makefile: ``python -m rallrec COMMAND``."""

import argparse
import errno
import os
import re
import shlex
import sys
from fractions import Fraction
from pathlib import Path

from .infra.errors import InputError

DEFAULTS = dict(dataset="ml-100k", llm="smollm2-135m", reader="", profile="quick", seed=0, extra="")
ABOUT = dict(extra="a Python file of your own methods", reader="the LLM that is asked for P(like); default: --llm")
OF_A_RUN = ("llm", "reader", "profile", "seed", "extra")
FOLDERS = ("RALLREC_DATA", "RALLREC_RAW", "RALLREC_OUTPUT")

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if it ended well, 1 if a value was not reproduced, 2 with one line for a user's mistake."""
    args = _parser().parse_args(arguments)
    for name in FOLDERS:  # a notebook's kernel has another working directory
        if value := os.environ.get(name):
            os.environ[name] = str(Path(value).expanduser().resolve())
    try:
        if (value := os.environ.get("RALLREC_FRESH", "")) not in ("", "0", "1"):
            raise InputError(f"FRESH (RALLREC_FRESH) is {value!r}; it must be 0 or 1")
        return args.do(args) or 0
    except InputError as e:
        print(f"rallrec: {e}", file=sys.stderr)
        return 2
    except OSError as e:
        if e.errno not in OF_THE_DISK:
            raise
        where = f"{e.filename}: " if e.filename else ""
        print(f"rallrec: {where}{e.strerror}; mend that and run the same command again to go on", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rallrec: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"rallrec: {message}; `{self.prog} --help` lists what there is\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rallrec", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do, about: str, *options: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(do=do)
        for option in options:
            kind = type(DEFAULTS[option])
            about = ABOUT.get(option, f"default: {DEFAULTS[option]}")
            sub.add_argument(f"--{option}", default=DEFAULTS[option], type=kind, help=about)
        return sub

    command("fetch", _fetch, "get a data set and LLMs, and check them", "dataset", "llm", "reader", "extra")
    run = command("run", _run, "run one notebook", "dataset", *OF_A_RUN)
    run.add_argument("notebook")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="another parameter")
    for name, do, about in (
        ("plan", _plan, "say what `all` will do, and how long it takes here"),
        ("all", _all, "run the notebooks of data sets, where something changed that they depend on"),
        ("check", _check, "compare the last run with the recorded values"),
        ("overview", _overview, "tables and figures across data sets"),
    ):
        several = command(name, do, about, *OF_A_RUN)
        several.add_argument("datasets", nargs="*", help="default: ml-100k, and those of the paper that are here")
        if name == "overview":
            several.add_argument("--places", nargs="+", help="folders of papermill_runs/ to put side by side")
            several.add_argument("--name", default="side-by-side", help="of their overview, figures/overview+NAME")
    about = "train the reader's LoRA adapter"
    adapter = command("adapter", _adapter, about, "dataset", "llm", "reader", "profile", "seed")
    adapter.add_argument("--tuning", default="paper", help="paper, no augmentation, recent, ours; default: paper")
    merge = command("merge", _merge, "write the LLM with an adapter merged in, for a server without LoRA", "llm")
    merge.add_argument("adapter", help="folder of the adapter")
    merge.add_argument("folder", help="where to write")
    seeds = command(
        "seeds", _seeds, "publish answers of adapters of other seeds", "dataset", "llm", "reader", "profile"
    )
    seeds.add_argument("seeds", nargs="+", type=int)
    ablate = command("ablate", _ablate, "one row of an ablation", "dataset", "llm", "profile", "seed", "extra")
    for name, about in (
        ("representation", "colla, text …"),
        ("selector", "high …"),
        ("reader", "llm …"),
        ("both", "sum, max: of an item in both of rerank's channels"),
        ("order", "time, best first, best last: in the prompt"),
        ("edges", ""),
        ("stop", "of the alignment"),
    ):
        ablate.add_argument(f"--{name}", help=about)
    ablate.add_argument("--reader-llm", default="", help=ABOUT["reader"])
    ablate.add_argument("--weights", nargs="+", type=float, help="of the parts of a mixture")
    ablate.add_argument("--alpha", type=share, help="weight of similarity against recency, such as 2/3")
    ablate.add_argument("--beta", type=share, help="how steeply a rank's score falls")
    ablate.add_argument("--recent", type=share, help="share of recent items, such as 1/3")
    ablate.add_argument("--temperature", type=float)
    for name in ("k", "layers"):
        ablate.add_argument(f"--{name}", type=int)
    explorer = command("explorer", _explorer, "measure what the page's knobs show", "dataset", "llm", "profile", "seed")
    explorer.add_argument("--users", action="store_true", help="example users, too, on a page that is not published")
    explorer.add_argument("--representations", nargs="+", help="measure these alone; default: all")
    explorer.add_argument("--publish", action="store_true", help="among the repository's artefacts: the maintainers'")
    command("site", _site, "build the page: notebooks, figures, tables and reference as HTML")
    command("salvage", _salvage, "keep what is sound of a damaged cache; no run may be going")
    take = command("take", _take, "put into the cache what caches of other machines hold")
    take.add_argument("caches", nargs="+", metavar="CACHE", help="their files: data/cache.sqlite of each")
    command("publish", _publish, "write the repository's artefacts of a data set", "dataset", *OF_A_RUN[:-1])
    command("record", _record, "make the last run's values the recorded ones", "dataset", "reader")
    command("readme", _readme, "fill the generated parts of README and docs: the maintainers'")
    command("lab", _lab, "copy the notebooks into lab/, where they may be changed")
    return parser


def share(text: str) -> float:
    """A number, or a fraction such as 1/3; argparse says ``invalid share value`` of anything else."""
    try:
        return float(Fraction(text))
    except ZeroDivisionError as e:
        raise ValueError(text) from e


def _fetch(args) -> None:
    from .data.loading import load
    from .llm.opening import language_model

    _extra(args)
    data = load(args.dataset)
    print(data, *data.notes, sep="\n")
    for name in dict.fromkeys([args.llm, *_several(args.reader)]):
        language_model(name).fetch()


def _extra(args) -> None:
    """Run the user's own file, where one is named."""
    if args.extra:
        from .extensions import load_extra

        load_extra(args.extra)


def _run(args) -> None:
    from .runs.runner import execute

    own = dict(DATASET=args.dataset, LLM=args.llm, PROFILE=args.profile, SEED=args.seed)
    own |= {name.upper(): value for name in ("extra", "reader") if (value := getattr(args, name))}
    texts = {"EXTRA", "READER"} | {name for name, value in own.items() if isinstance(value, str)}
    execute(args.notebook, own | {name: value if name in texts else _value(value) for name, value in args.p})


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parameters(args) -> list:
    """What is to be run: the parameters of each data set."""
    from .data.loading import DATASETS, missing_files
    from .runs.place import Parameters

    names = args.datasets or [name for name in DATASETS if name not in missing_files()]
    given = {option: getattr(args, option) for option in OF_A_RUN}
    readers = _several(args.reader) or [""]
    made = [Parameters(name, **given | {"reader": reader}) for name in names for reader in readers]
    folders = {parameters.name: parameters.dataset for parameters in reversed(made)}
    if other := next((p for p in made if folders[p.name] != p.dataset), None):
        raise InputError(f"{other.dataset} and {folders[other.name]} would write to the same place; rename one of them")
    return list(dict.fromkeys(made))


def _several(readers: str) -> list[str]:
    """The readers that a text names, divided by blanks as in a shell; a folder's path may have blanks of its own."""
    if readers and Path(readers).expanduser().is_dir():
        return [readers]
    try:
        return shlex.split(readers)
    except ValueError as e:
        raise InputError(f"READER (--reader) is {readers!r}: {e}; name readers with blanks between them") from e


def _plan(args) -> None:
    from .infra.files import data_dir, network_disk
    from .runs.plan import plan

    print(plan(_parameters(args), named=bool(args.datasets)))
    if kind := network_disk(data_dir()):
        print(
            f"The data folder {data_dir()} is on a network's disk ({kind}): its cache is for one machine. Of several, "
            f"give each RALLREC_DATA on its own disk; `rallrec take` joins the caches (docs/cluster.md)."
        )


def _all(args) -> None:
    from .runs.runner import run_all

    for parameters in _parameters(args):
        run_all(parameters)


def _check(args) -> int:
    from .runs.reporting import finish
    from .runs.retrained import retrained

    asked = _parameters(args)
    good = finish([parameters.place() for parameters in asked])
    for said, same in map(retrained, asked):
        if said:
            print(said if same else f"{said}: NOT reproduced")
        good &= same
    return 0 if good else 1


def _study(args):
    from .pipeline import Study

    reader = args.reader_llm if "reader_llm" in args else args.reader
    options = {"reader": reader} if reader else {}
    return Study.of(args.dataset, args.llm, args.profile, getattr(args, "seed", 0), **options)


def _adapter(args) -> None:
    trained = _study(args).adapter_of(args.tuning)
    for step, train, valid in zip(trained.curve.step, trained.curve.train, trained.curve.valid, strict=True):
        print(f"step {step:>5}: loss {train:.4f}, on validation {valid:.4f}")
    print(trained.folder)


def _merge(args) -> None:
    from .llm.local import LocalModel
    from .llm.opening import language_model
    from .llm.weights import PACKAGED, save

    if (folder := Path(args.folder)).exists():
        raise InputError(f"{folder} is there already; delete it, or name another folder")
    llm = language_model(args.llm, args.adapter)
    if not isinstance(llm, LocalModel):
        raise InputError(f"{args.llm} is on a server; name a model whose weights are here")
    terms = PACKAGED[llm.name].terms if llm.name in PACKAGED else ""
    print(save(llm.model, llm.tokenizer, folder, terms))


def _seeds(args) -> None:
    from .study.adapter_seeds import publish

    print(publish(_study(args), args.seeds))


def _ablate(args) -> None:
    from .extensions import rival
    from .pipeline import Choice
    from .runs.figures import markdown, with_intervals

    _extra(args)
    given = {f: getattr(args, f) for f in Choice.__dataclass_fields__ if getattr(args, f) is not None}
    choice = Choice(**{f: tuple(v) if isinstance(v, list) else v for f, v in given.items()})
    table = _study(args).row(choice, rival(choice))
    print(markdown(with_intervals(table, {"auc": "AUC", "log_loss": "log loss", "difference": "AUC, difference"})))


def _explorer(args) -> None:
    from .runs.place import Parameters
    from .site.explorer_files import make

    of = Parameters(args.dataset, args.llm, args.profile, args.seed)
    print(make(of, args.publish, args.users, args.representations))


def _site(args) -> None:
    from .site.build import build

    built = build()
    print(*built.warnings, built, sep="\n")


def _salvage(args) -> None:
    from .infra.cache import default_cache, is_sound, salvage

    path = default_cache().path
    if path.exists() and (n := is_sound(path)) is not None:
        print(f"{path} is sound ({n:,} answers): there is nothing to salvage")
        return
    print(f"{salvage(path):,} answers kept; the damaged cache is now {path}.damaged")


def _take(args) -> None:
    from .infra.cache import default_cache, take_over

    for path in map(Path, args.caches):
        print(f"{path}: {take_over(default_cache(), path):,} answers and trainings taken")


def _publish(args) -> None:
    from .runs.publishing import publish

    print(publish(args.dataset, args.llm, args.profile, args.seed, args.reader))


def _record(args) -> None:
    from .runs.place import Parameters
    from .runs.publishing import record_reference

    print(record_reference(args.dataset + Parameters(args.dataset, reader=args.reader).suffix))


def _overview(args) -> None:
    from .runs.overview import comparable, write_overview

    if not re.fullmatch(r"\w[\w.+-]*", args.name):
        raise InputError(f"--name is {args.name!r}; it is the end of a folder's name: letters, digits and .+-_")
    given = list(dict.fromkeys(Path(place).name for place in args.places or []))  # a path to one will do
    places, name = (given, args.name) if given else comparable(_parameters(args))
    if places:
        print(write_overview(places, name))
    else:  # `make all` of generated data alone
        print("nothing to compare: no data set but tiny was run whole with these settings; the overview stays as it is")


def _lab(args) -> None:
    from .runs.copies import copy_notebooks

    for line in copy_notebooks():
        print(line)


def _readme(args) -> None:
    from .runs.reporting import filled, generated

    pages = {page: filled(page) for page in generated()}  # all is read before anything is written
    for page, text in pages.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
