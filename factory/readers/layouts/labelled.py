"""Two replies and which of them is the better one: by a label, a winner, a signed strength, votes or scores.

LLMBar, HelpSteer 2 and 3, PKU-SafeRLHF, SHP, WebGPT, Chatbot Arena, MT-Bench, JudgeBench, AlpacaFarm, PandaLM. The
replies may be whole conversations; of one that goes on after the turn that was judged, the rest is left out.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.readers.cells.records import by_cell
from factory.readers.cells.values import json_in
from factory.readers.columns.asked import FoundPrompt, asked, kind_of, reply
from factory.readers.columns.verdicts import better, graded, role_of, verdicts_in
from factory.readers.layouts.base import TIE, UNREADABLE, Columns, How, Layout, Parts, Reshaped
from factory.readers.messages import is_text, turn
from factory.readers.names import GRADES, LETTERS, RANKS, REPLY_ENDINGS, REPLY_STEMS

_BETTER, _SAID, _TALKS = "__better", "__said", ("__talk_one", "__talk_two")
_LISTED, _SAMPLE = r'^\s*\[\s*("|null)', 100
_ROLES = ("user", "assistant")


def _replies(columns: Columns) -> tuple[str, str] | None:
    told, by_label = columns.named, "label" in columns.named
    for first, second in (("first", "second"), *([("chosen", "rejected")] if by_label else ())):
        if first in told and second in told:
            return told[first], told[second]
    for stem in REPLY_STEMS:
        for one, two in REPLY_ENDINGS:
            for between in ("_", ""):
                pair = f"{stem}{between}{one}", f"{stem}{between}{two}"
                # Of response_0, _1 and _2 the replies are counted from 0.
                if f"{stem}{between}0" in columns and one == "1":
                    continue
                if all(name in columns and kind_of(columns[name]) for name in pair):
                    # A third reply, or its score: then candidates read the file, and the pair is best and worst.
                    third = chr(ord(two) + 1)
                    more = (f"{begin}{way}{third}" for begin in (stem, *GRADES, *RANKS) for way in ("", "_"))
                    return None if any(name in columns for name in more) else pair
    # Of a third letter it is one of many choices, of which none need be a reply.
    if "C" not in columns and all(name in columns and kind_of(columns[name]) == "text" for name in LETTERS):
        return LETTERS
    chosen, rejected = columns.first("chosen"), columns.first("rejected")
    return (chosen, rejected) if by_label and chosen and rejected else None


def replies_beside(columns: Columns) -> tuple[str, ...]:
    """The replies in columns of their own beside a prompt, be they two or more; none where there are not two."""
    for _, found in columns.numbered():
        if len(found) > 1 and all(kind_of(columns[name]) for name in found) and asked(columns) is not None:
            return found
    return ()


def _fits(columns: Columns) -> bool:
    pair = _replies(columns)
    if (
        pair is None
        or kind_of(columns[pair[0]]) is None
        or kind_of(columns[pair[0]]) != kind_of(columns[pair[1]])
        or not verdicts_in(columns, pair)
    ):
        return False
    return kind_of(columns[pair[0]]) == "messages" or _asked(columns, pair) is not None


def _asked(columns: Columns, pair: tuple[str, str]) -> FoundPrompt | None:
    """The prompt; beside orig_response_A, whose instruction is a judge's, that in orig_instruction."""
    own = "orig_instruction"
    if own in columns and pair[0].startswith("orig_") and "prompt" not in columns.named:
        return asked(Columns({own: columns[own]}, {"prompt": own}))
    return asked(columns)


def _reshape(frame: pl.LazyFrame, columns: Columns, how: How) -> Reshaped:
    pair = _replies(columns)
    assert pair is not None
    found = better(frame, columns, pair)
    made = [found.sign.alias(_BETTER), found.said.alias(_SAID), *_scores(columns, pair, found.sign)]
    prompt = columns.first("prompt")
    if prompt is not None and _written_out(frame, columns, (prompt, *pair)):
        made += [_rounds(prompt, reply).alias(side) for side, reply in zip(_TALKS, pair, strict=True)]
    return Reshaped(frame.with_columns(made), (*found.remarks, *_split(frame, columns, pair, found.sign)))


def _split(frame: pl.LazyFrame, columns: Columns, pair: tuple[str, str], sign: pl.Expr) -> tuple[str, ...]:
    """A remark where rows prefer either of the same two replies, as the answers of several annotators may."""
    one, other = (pl.col(name).hash() for name in pair)
    key = one ^ other
    # MT-Bench has a row for each turn that was judged of the same conversations.
    for seed, name in enumerate(name for name in (*columns.asked, "turn") if name in columns):
        key = key ^ pl.col(name).hash(seed + 1)
    first = pl.when(one < other).then(sign).otherwise(-sign)
    said = frame.select(key.alias("key"), first.alias("first")).filter(pl.col("first").abs() == 1)
    both = said.group_by("key").agg(pl.len(), ways=pl.n_unique("first")).filter(pl.col("ways") > 1)
    rows = both.select(pl.sum("len")).collect(engine="streaming").item()
    if not rows:
        return ()
    return (
        f"{rows:,} rows hold replies to a prompt of which other rows prefer the other one; each is a pair by itself",
    )


def _scores(columns: Columns, pair: tuple[str, str], sign: pl.Expr) -> list[pl.Expr]:
    """The scores of the two replies as those of chosen and rejected, where the file has scores and no such columns."""
    scores = graded(columns, pair, GRADES)
    if scores is None or {"score_chosen", "score_rejected"} & {*columns}:
        return []
    one, two = (pl.col(name).cast(pl.Float64, strict=False) for name in scores)
    chosen = pl.when(sign == -1).then(two).otherwise(one)
    rejected = pl.when(sign == -1).then(one).otherwise(two)
    return [chosen.alias("score_chosen"), rejected.alias("score_rejected")]


def _written_out(frame: pl.LazyFrame, columns: Columns, names: Sequence[str]) -> bool:
    """Whether every prompt and reply is a list of texts as JSON, as in the arena's files of 55,000."""
    if not all(is_text(columns[name]) for name in names):
        return False
    # Of every row that is looked at: one prompt that opens with a bracket is no list of questions.
    lists = (pl.col(name).str.contains(_LISTED).all().alias(name) for name in names)
    return all(frame.select(lists).head(_SAMPLE).collect(engine="streaming").row(0))


def _rounds(prompt: str, reply: str) -> pl.Expr:
    """The questions and answers of two lists of texts, in turn, as TURNS."""
    return by_cell(
        pl.struct(prompt, reply), lambda row: _in_turn(json_in(row[prompt]), json_in(row[reply])), "messages"
    )


def _in_turn(questions: Any, answers: Any) -> list[dict[str, str | None]] | None:
    if not (isinstance(questions, list) and isinstance(answers, list) and len(questions) == len(answers)):
        return None
    rounds = zip(questions, answers, strict=True)
    return [turn({"role": role, "content": text}) for one in rounds for role, text in zip(_ROLES, one, strict=True)]


def _side(columns: Columns, name: str) -> pl.Expr:
    """A reply; of a conversation, what goes up to the turn that was judged."""
    turns = reply(columns, name)
    # MT-Bench: whole conversations, and the turn of the user's that was judged, from 1.
    turn_type = columns.get("turn", pl.Null())
    if kind_of(columns[name]) != "messages" or not (turn_type.is_integer() or is_text(turn_type)):
        return turns
    led = turns.list.first().struct.field("role").eq_missing("system").cast(pl.Int64)
    # Null, or no number: the conversation as it is.
    return turns.list.head(led + 2 * pl.col("turn").cast(pl.Int64, strict=False).fill_null(1 << 20))


def _parts(columns: Columns) -> Parts:
    pair = _replies(columns)
    assert pair is not None
    found, kind = _asked(columns, pair), kind_of(columns[pair[0]])
    one, two = (_side(columns, name) for name in pair)
    turned = _TALKS[0] in columns
    if turned:
        one, two = (pl.col(name) for name in _TALKS)
    # The lists of questions are in the conversations already.
    told = {"prompt": tuple(columns.having("prompt")[:1])} if turned else found.columns if found else {}
    sign, names = pl.col(_BETTER), verdicts_in(columns, pair)
    second = sign == -1
    said = pl.col(_SAID).fill_null("nothing")
    says = pl.concat_str(pl.lit(f"{', '.join(names)} says "), said, pl.lit(", which names no reply"))
    return Parts(
        None if found is None or turned else found.turns,
        pl.when(second).then(two).otherwise(one),
        pl.when(second).then(one).otherwise(two),
        told | {"chosen": pair, "rejected": pair, role_of(names): names},
        conversations=turned or kind != "text",
        aside=(
            (UNREADABLE, pl.when(sign.is_null()).then(says)),
            (TIE, pl.when(sign == 0).then(pl.lit("neither reply is the better one"))),
        ),
    )


LABELLED = Layout(
    "labelled",
    "prompt, and response_1 and response_2 (or _a and _b, 0 and 1, output, answer, conversation, …); label, winner, "
    "preference, choice, overall_preference, … or score_1 and score_2: which is better",
    _fits,
    _parts,
    reshape=_reshape,
)
