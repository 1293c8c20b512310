"""Judging: which of two replies a judge prefers, each pair in one order or both, as the rule of the filters needs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

from factory.config import Judge
from factory.engines.base import Completion, Generator, Request
from factory.errors import ConfigError
from factory.identity import draw
from factory.schema import JUDGMENTS, ORDERS
from factory.stages.health import Leanings, health
from factory.stages.parts import parts
from factory.stages.verdict import IDENTIFIERS, Verdict, read_verdict
from factory.stages.votes import VOTE_ORDER, VoteParts
from factory.statistics.shares import total
from filters.votes import DEFAULT_RULE, next_questions
from principles import Template, template_of

RETRY_TEMPERATURE = 0.7
"""An answer that could not be read is asked for again at this temperature or more: at 0 it would come again."""

BY_FEATURE = "judge_feature"
"""Kind and name of the template for judges whose criterion is the feature."""

PROBE = 50
"""Pairs after whose first votes a frugal judge is looked at: enough to see one that follows the slot."""


class JudgeWithEngine(NamedTuple):
    """A judge and what answers for it."""

    config: Judge
    engine: Generator


class Question(NamedTuple):
    """One pair in one order."""

    pair_id: str
    order: str


def judge(pairs: pl.DataFrame, judges: Sequence[JudgeWithEngine], rule: str | None, seed: int) -> pl.DataFrame:
    """JUDGMENTS of `pairs` (pair_id, prompt, chosen, rejected) by each judge, sorted by pair, judge and order.

    Under a rule, judges that are `frugal` are asked what the rule still needs, one judge after the other, and a
    `full_share` of the pairs in full; without one, and for other judges, both orders of every pair. One vote of a judge
    that follows the slot says nothing, so that it is asked for the other order too, first about the PROBE pairs that
    come first by id, and at the end about all it voted on. Answers that cannot be read are asked for again, up to the
    judge's `retries`; then the vote is null, and is never guessed.
    """
    with TemporaryDirectory(prefix="sso-factory-") as folder:
        return judge_into(Path(folder), pairs.lazy(), judges, rule, seed).scan().collect().sort(VOTE_ORDER)


def judge_into(
    folder: Path, pairs: pl.LazyFrame, judges: Sequence[JudgeWithEngine], rule: str | None, seed: int
) -> VoteParts:
    """`judge`, of pairs that need not fit into memory and lie where any part of them is quickly read.

    Votes lie in `folder`, a file for each part, sorted within it; memory holds the requests and votes of one part. The
    probe is of the first part.
    """
    # Before any question: votes of two judges under one name cannot be parted afterwards.
    names = distinct_names([member.config for member in judges])
    shares = {member.config.name: _full_share(member.config, rule) for member in judges}
    votes = VoteParts(folder)
    for member in judges:
        for number, part in enumerate(parts(pairs)):
            rows = by_id(part)
            asking = _Asking(member, rows, votes.of(number), seed)
            # Sorted by id, a hash: the probe is a random part, and the same one when the run goes on after a kill.
            ids = sorted(rows)
            if not number and shares[member.config.name] < 1:
                asking.settle(ids[:PROBE], names, rule, shares)
                if asking.follows_slot:
                    asking.turn()
            asking.settle(ids, names, rule, shares)
            votes.put(number, asking.votes)
            del asking, rows  # before the next part comes
        # At the end once more: what 50 pairs leave open, all of them may show.
        if _follows_slot(votes, member.config.name):
            for number, part in enumerate(parts(pairs)):
                asking = _Asking(member, by_id(part), votes.of(number), seed)
                asking.turn()
                votes.put(number, asking.votes)
    return votes


def _follows_slot(votes: VoteParts, judge: str) -> bool:
    leanings = Leanings()
    for part in votes.narrow():
        leanings.add(part.filter(pl.col("judge") == judge))
    return any(one.follows_slot for one in leanings.healths())


class _Asking:
    """One judge and the pairs of a part, whose votes grow."""

    def __init__(
        self, member: JudgeWithEngine, rows: dict[str, dict[str, Any]], votes: pl.DataFrame, seed: int
    ) -> None:
        self.votes = votes
        self._member, self._rows, self._seed = member, rows, seed

    @property
    def _its(self) -> pl.DataFrame:
        return self.votes.filter(pl.col("judge") == self._member.config.name)

    @property
    def follows_slot(self) -> bool:
        """Whether the judge's votes so far follow the slot."""
        return any(judge.follows_slot for judge in health(self._its))

    def settle(self, ids: Sequence[str], names: Sequence[str], rule: str | None, shares: Mapping[str, float]) -> None:
        """Ask until the rule needs no more of this judge about these pairs."""
        while True:
            # All names, as the rule also looks at earlier judges; asked is this one alone, whose engine is open.
            questions = next_questions(self.votes, ids, names, rule or DEFAULT_RULE, shares)
            if not self._ask(questions.filter(pl.col("judge") == self._member.config.name)):
                return

    def turn(self) -> None:
        """Ask for the other order of all it voted on."""
        self._ask(missing(self._its.select("pair_id"), self._its))

    def _ask(self, due: pl.DataFrame) -> bool:
        asked = [Question(*question) for question in due.select("pair_id", "order").iter_rows()]
        if asked:
            self.votes = pl.concat([self.votes, ask(self._member, asked, self._rows, self._seed)])
        return bool(asked)


def missing(ids: pl.DataFrame, votes: pl.DataFrame) -> pl.DataFrame:
    """[pair_id, order] of these pairs that one judge's `votes` lack."""
    both = ids.unique(maintain_order=True).join(pl.DataFrame({"order": ORDERS}), how="cross")
    return both.join(votes, on=["pair_id", "order"], how="anti", maintain_order="left")


def distinct_names(judges: Sequence[Judge]) -> list[str]:
    """The judges' names. Raises ConfigError where two are called alike: their votes could not be told apart."""
    names = [judge.name for judge in judges]
    if len(set(names)) < len(names):
        raise ConfigError(f"two judges are called {max(names, key=names.count)}; give each its own name")
    return names


def by_id(pairs: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """What a judge is shown of each pair, by pair_id."""
    feature = [name for name in ("feature",) if name in pairs.columns]
    shown = pairs.select("pair_id", "prompt", "chosen", "rejected", *feature)
    return {row["pair_id"]: row for row in shown.iter_rows(named=True)}


def requests(
    config: Judge, questions: Iterable[Question], rows: dict[str, dict[str, Any]], seed: int, attempt: int = 0
) -> list[Request]:
    """What a judge is sent for `questions`; `rows` as `by_id`."""
    plain = template_of("judge", config.template)
    by_feature = plain if config.criterion is None else template_of(BY_FEATURE, BY_FEATURE)
    made = []
    for question in questions:
        row = rows[question.pair_id]
        template = by_feature if row.get("feature") else plain
        made.append(_request(config, template, question, row, seed, attempt))
    return made


def _full_share(config: Judge, rule: str | None) -> float:
    return config.full_share if rule is not None and config.frugal else 1.0


def ask(
    member: JudgeWithEngine, questions: Sequence[Question], rows: dict[str, dict[str, Any]], seed: int
) -> pl.DataFrame:
    """The judgments of `questions`, each asked until it can be read or the retries are used up; `rows` as `by_id`."""
    found = {question: _Judgment(member.config.name, question) for question in questions}
    due = list(questions)
    for attempt in range(member.config.retries + 1):
        by_id = {_id(member.config.name, question, attempt): question for question in due}
        # One call for all: the engine's batch stays full to the end of the stage.
        for answer in member.engine.generate(requests(member.config, due, rows, seed, attempt)):
            found[by_id[answer.id]].take(answer)
        due = [question for question in due if found[question].again]
        if not due:
            break
    return pl.DataFrame([judgment.row() for judgment in found.values()], schema=JUDGMENTS.dtypes, orient="row")


def _id(judge_name: str, question: Question, attempt: int) -> str:
    return f"judge/{judge_name}/{question.pair_id}/{question.order}/{attempt}"


def _request(
    config: Judge, template: Template, question: Question, row: dict[str, Any], seed: int, attempt: int
) -> Request:
    # The identifiers stay with the slots, the replies change places: a liking for a letter shows as one for a slot.
    first, second = ("chosen", "rejected") if question.order == ORDERS[0] else ("rejected", "chosen")
    named = {"feature": row["feature"]} if template.kind == BY_FEATURE else {}
    messages = template.render(
        **named,
        prompt=row["prompt"],
        first=IDENTIFIERS[0],
        second=IDENTIFIERS[1],
        first_reply=row[first],
        second_reply=row[second],
    )
    return Request(
        id=_id(config.name, question, attempt),
        messages=messages,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature if attempt == 0 else max(config.temperature, RETRY_TEMPERATURE),
        top_p=1.0,
        # With the attempt: the same seed at a temperature gives the same unreadable answer.
        seed=draw(seed, "judge", config.name, question.pair_id, question.order, attempt),
        choices=IDENTIFIERS,
        tags={
            "stage": "judge",
            "pair_id": question.pair_id,
            "order": question.order,
            "first": IDENTIFIERS[0],
            "attempt": str(attempt),
        },
    )


class _Judgment:
    """One row of JUDGMENTS in the making."""

    def __init__(self, judge_name: str, question: Question) -> None:
        self._judge, self._question = judge_name, question
        self._verdict = Verdict(None)
        self._raw: str | None = None
        self._error: str | None = None
        self._used: list[Completion] = []

    @property
    def again(self) -> bool:
        """Whether another try may help: the last one was answered and could not be read."""
        return self._verdict.identifier is None and self._error is None

    def take(self, answer: Completion) -> None:
        self._used.append(answer)
        self._error = answer.error
        if answer.error is None:
            self._raw, self._verdict = answer.text, read_verdict(answer)

    def row(self) -> tuple[Any, ...]:
        chosen_first = self._question.order == ORDERS[0]
        vote = p_chosen = None
        if self._verdict.identifier is not None:
            vote = "chosen" if (self._verdict.identifier == IDENTIFIERS[0]) == chosen_first else "rejected"
        if self._verdict.p_first is not None:
            p_chosen = self._verdict.p_first if chosen_first else 1 - self._verdict.p_first
        spent = ("prompt_tokens", "completion_tokens", "cost")
        used = [total(getattr(answer, name) for answer in self._used) for name in spent]
        question = (self._question.pair_id, self._judge, self._question.order)
        return (*question, vote, p_chosen, self._raw, *used, self._error, len(self._used))
