"""THE TABLE OF STAGES: what a run is made of, in order. A stage takes tables and an engine, and leaves tables."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from factory.config import Config
from factory.store.outputs import tables_of


class LineStage(NamedTuple):
    """A stage of the line."""

    name: str
    title: str
    """What it does, in words for people."""
    place: str
    """Where it lies in a run folder; `{}` is the iteration, or the format of an export."""
    reads: tuple[str, ...]
    """The stages whose files it reads."""
    makes: tuple[str, ...] | None = None
    """Its files, a folder with a slash at its end; None: a table of its name, and one of the rows it rejects."""
    counts: str = ""
    """A column of the table whose values its manifest counts."""
    made_if: Callable[[Config], bool] = lambda _: True
    """Whether a run with this configuration has it."""
    an_aim: bool = True
    """Whether `--until` may name it."""
    made_as: str = ""
    """The stage that it is made like, where it has no module of its own."""

    @property
    def made_by(self) -> str:
        """Module with `inputs`, which says all that changes its data, and `make`."""
        return f"factory.line.steps.{self.made_as or self.name}"

    @property
    def each_iteration(self) -> bool:
        """Whether every iteration has one."""
        return self.place.startswith("iterations/")

    def path(self, of: object = "") -> str:
        """Its name in a run folder, `of` an iteration or format."""
        return self.place.format(of)

    def files(self, of: object = "") -> tuple[str, ...]:
        """What it leaves in its folder."""
        return tables_of(self.name) if self.makes is None else tuple(file.format(of) for file in self.makes)


def _steered(config: Config) -> bool:
    return config.pairs.steered


def _apart(config: Config) -> bool:
    return config.training.generator == "separate"


LINE = (
    LineStage("prompts", "reading prompts", "prompts", ()),
    LineStage(
        "features",
        "choosing features",
        "iterations/{}/features",
        ("prompts",),
        counts="feature_source",
        made_if=_steered,
    ),
    LineStage(
        "contrast",
        "making principles",
        "iterations/{}/contrast",
        ("prompts", "features"),
        counts="principle_source",
        made_if=_steered,
    ),
    LineStage(
        "drafts",
        "writing replies to train the generator",
        "iterations/{}/drafts",
        ("prompts", "contrast"),
        made_as="triples",
        made_if=_apart,
    ),
    LineStage("draft_scores", "scoring them", "iterations/{}/draft_scores", ("drafts",), made_if=_apart),
    LineStage(
        "generator",
        "training the generator",
        "iterations/{}/generator",
        ("drafts", "draft_scores"),
        makes=("generator/",),
        made_if=_apart,
    ),
    LineStage("triples", "writing replies", "iterations/{}/triples", ("prompts", "contrast")),
    LineStage("scores", "scoring replies", "iterations/{}/scores", ("triples",)),
    LineStage(
        "train",
        "training",
        "iterations/{}/train",
        ("triples", "scores"),
        makes=("policy/", "metrics.jsonl"),
        made_if=lambda config: config.training.method != "none",
    ),
    LineStage(
        "passed",
        "judging and filtering, towards the target",
        "iterations/{}/passed",
        ("triples", "scores"),
        makes=(),
        made_if=lambda config: config.prompts.target_pairs is not None,
        an_aim=False,
    ),
    LineStage(
        "filter",
        "judging and filtering",
        "filtered/filter",
        ("triples", "scores"),
        makes=("kept.parquet", "rejected.parquet", "judgments.parquet", "funnel.json"),
    ),
    LineStage(
        "audit",
        "auditing",
        "audit/audit",
        ("filter",),
        makes=("audit.json", "audit.md", "audit.html", "audit.png", "judgments.parquet"),
        made_if=lambda config: config.audit.judge is not None,
    ),
    LineStage("exports", "exporting", "exports/{}", ("filter", "audit"), makes=("{}/",)),
    LineStage(
        "push",
        "pushing to the Hub",
        "exports/push",
        ("exports",),
        makes=(),
        made_if=lambda config: config.export.push_to_hub is not None,
    ),
)
"""Every stage, in the order of a run."""

STAGES = {stage.name: stage for stage in LINE}


def stages_of(config: Config, iterations: Iterable[object]) -> Iterator[tuple[LineStage, object]]:
    """The stages of a run with those iterations, in order, each with the iteration or format it is for."""
    made, numbers = [stage for stage in LINE if stage.made_if(config)], list(iterations)
    inner = [stage for stage in made if stage.each_iteration]
    # Once before the iterations; then all stages of one iteration before the next; then once after them.
    before = LINE.index(inner[0])
    yield from ((stage, "") for stage in made if LINE.index(stage) < before)
    yield from ((stage, number) for number in numbers for stage in inner)
    for stage in made:
        if LINE.index(stage) > before and not stage.each_iteration:
            yield from ((stage, of) for of in (config.export.formats if "{}" in stage.place else ("",)))


def stage_at(path: str) -> LineStage | None:
    """The stage that lies at `path` in a run folder; None where it is none of the line's."""
    folder, _, leaf = path.rpartition("/")
    # An export is called by its format, which is no stage's name; all else by its own.
    exact = STAGES.get(leaf)
    if exact and exact.path(folder.rpartition("/")[2]) == path:
        return exact
    return STAGES["exports"] if folder == "exports" else None


def order(path: str) -> tuple[int, int, int, str]:
    """What puts stages, by their paths, in the order of the line; what is none of it comes after its neighbours."""
    # By number, as iterations/10 sorts before iterations/2.
    stage, parts = stage_at(path), path.split("/")
    place = LINE.index(stage) if stage else len(LINE)
    if parts[0] == "iterations":
        return (1, int(parts[1]) if parts[1].isdigit() else 0, place, path)
    return (0 if stage is LINE[0] else 2, 0, place, path)


def is_before(last: str, name: str) -> bool:
    """Whether the stage that `--until` was found to name comes before the stage `name`."""
    leaf = last.rpartition("/")[2]
    return leaf in STAGES and LINE.index(STAGES[leaf]) < LINE.index(STAGES[name])
