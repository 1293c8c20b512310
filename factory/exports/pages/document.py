"""What makes an audit a document one can file: what was looked at, by what, when, and verdicts with their answers."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import factory
from factory.errors import excerpt
from factory.exports.pages.markdown import escaped, fenced
from factory.files.streaming import few
from factory.identity import versions
from factory.strict import Strict
from filters.hash_draw import hash_draw_expr
from filters.votes import verdicts

KINDS = ("right", "unsure", "wrong", "invalid")
EACH = 2
"""Examples of each kind of verdict."""
SAMPLED = "pairs sampled"
_LONGEST = 1_500
_MEANING = {
    "right": "Right: chosen preferred in both orders",
    "unsure": "Unsure: the verdict turned with the order",
    "wrong": "Wrong: rejected preferred in both orders",
    "invalid": "Invalid: a vote could not be read",
}


class Source(Strict):
    """A file that was read, by name and content."""

    name: str
    sha256: str


class About(NamedTuple):
    """What was audited, by what, when."""

    sources: list[Source]
    facts: Mapping[str, object]
    """What is told of it, by name, in order; SAMPLED is among the names."""

    def table(self) -> list[tuple[str, object]]:
        """Name and value of each fact, those of this moment and this machine at the end."""
        listed = [(f"file {source.name}", f"SHA-256 {source.sha256}") for source in self.sources]
        made_by = ", ".join([f"sso-factory {factory.__version__}", *map(" ".join, versions().items())])
        return [*listed, *self.facts.items(), ("versions", made_by), ("date", today())]


class Vote(Strict):
    """One answer as it came."""

    order: str
    vote: str | None
    raw: str | None


class JudgedExample(Strict):
    """A pair with what a judge said of it."""

    verdict: str
    pair_id: str
    prompt: str
    """The last turn."""
    chosen: str
    rejected: str
    votes: list[Vote]


def today() -> str:
    """The date, in UTC."""
    # UTC, so that a run on two machines has one date.
    return datetime.now(UTC).date().isoformat()


def source_of(path: Path) -> Source:
    """A file's name, without its folders, and the hash of its content."""
    with path.open("rb") as file:
        return Source(name=path.name, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def examples(
    pairs: pl.LazyFrame, votes: Iterable[pl.LazyFrame], judge: str, seed: int, each: int = EACH
) -> list[JudgedExample]:
    """Some pairs of each kind of verdict, drawn by seed, with the judge's answers: of them alone the texts are read.

    `votes` on these pairs come in parts, each with all that are on its own.
    """
    drawn = _first(pl.concat(_drawn(part.filter(pl.col("judge") == judge), seed, each) for part in votes), each)
    ids = drawn.lazy().select("pair_id")
    texts = few(pairs.select("pair_id", "prompt", "chosen", "rejected").join(ids, on="pair_id", how="semi"))
    shown = drawn.join(texts, on="pair_id", maintain_order="left")
    return [_example(row) for row in sorted(shown.iter_rows(named=True), key=lambda row: KINDS.index(row["verdict"]))]


def _drawn(votes: pl.LazyFrame, seed: int, each: int) -> pl.DataFrame:
    """[pair_id, verdict, toss, and the answers: order, vote, raw] of the pairs of each kind that are drawn first."""
    ruled = verdicts(votes).filter(pl.col("verdict").is_in(KINDS)).collect(engine="streaming")
    # Drawn by id, not by place: the same pairs are shown whatever the order of the table.
    picked = _first(ruled.with_columns(hash_draw_expr(f"example {seed}").alias("toss")), each)
    said = votes.select("pair_id", "order", "vote", "raw").join(picked.lazy(), on="pair_id", how="semi").sort("order")
    answers = said.group_by("pair_id", maintain_order=True).agg("order", "vote", "raw")
    return few(picked.lazy().join(answers, on="pair_id", how="left"))


def _first(drawn: pl.DataFrame, each: int) -> pl.DataFrame:
    return drawn.sort("toss", "pair_id").group_by("verdict", maintain_order=True).head(each)


def _example(row: Mapping[str, Any]) -> JudgedExample:
    texts = {name: excerpt(row[name], _LONGEST) for name in ("chosen", "rejected")}
    answers = zip(row["order"], row["vote"], row["raw"], strict=True)
    said = [Vote(order=order, vote=vote, raw=raw) for order, vote, raw in answers]
    prompt = excerpt(row["prompt"][-1]["content"] if row["prompt"] else "", _LONGEST)
    return JudgedExample(verdict=row["verdict"], pair_id=row["pair_id"], prompt=prompt, votes=said, **texts)


def examples_markdown(found: Sequence[JudgedExample]) -> str:
    """Each example with its texts and raw answers in blocks that nothing in them can close."""
    parts, kind = [], None
    for example in found:
        if example.verdict != kind:
            kind = example.verdict
            parts.append(f"### {_MEANING[kind]}")
        parts.append(f"Pair {escaped(example.pair_id)}")
        blocks = [("Prompt, last turn", example.prompt), ("Chosen", example.chosen), ("Rejected", example.rejected)]
        for vote in example.votes:
            order = vote.order.replace("_", " ")
            blocks.append(
                (f"Answer, {order}: {vote.vote or 'unreadable'}", vote.raw if vote.raw is not None else "(none)")
            )
        parts += [f"{label}:\n\n{fenced(text, 'text')}" for label, text in blocks]
    return "\n\n".join(parts)
