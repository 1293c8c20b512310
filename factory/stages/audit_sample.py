"""What an audit looks at: a sample that mirrors iterations and features, what it will cost, and whom not to ask."""

import re
from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor

import polars as pl

from factory.config import Judge
from factory.config.apis import Prices
from factory.engines.api.wire import cost as price
from factory.errors import ConfigError
from factory.identity import Messages
from factory.schema import ORDERS
from factory.stages.judge import Question, by_id, requests
from factory.stages.parts import parts
from factory.strict import Strict
from filters.hash_draw import hash_draw_expr

FRAME = 16
"""Most tokens that a chat template puts around a turn."""
STRATA = ("iteration", "feature")


def sample(pairs: pl.LazyFrame, n: int | None, seed: int, first: pl.DataFrame | None = None) -> pl.Series:
    """The ids of `n` pairs, each iteration and feature in its share, sorted; of all of them where n is None or more.

    Shares are rounded by largest remainder; within a stratum the pairs of `first` are taken before others, then the
    lowest seeded hashes of pair_id. The same pairs whatever the order of the rows.
    """
    if n is None:
        return pairs.select("pair_id").collect(engine="streaming")["pair_id"].unique().sort()
    columns = [name for name in STRATA if name in pairs.collect_schema()]
    narrow = pairs.select("pair_id", *columns).with_columns(hash_draw_expr(f"audit {seed}").alias("toss"))
    keys = narrow.collect(engine="streaming")
    if n < keys.height:
        sizes = keys.group_by(columns).len("size") if columns else keys.select(pl.len().alias("size"))
        shares = sizes.sort(columns, nulls_last=True).with_columns(
            share=_shares(sizes.sort(columns, nulls_last=True), n)
        )
        joined = keys.join(shares, on=columns, nulls_equal=True) if columns else keys.join(shares, how="cross")
        known = pl.Series([], dtype=pl.String) if first is None else first["pair_id"]
        ranked = joined.sort(~pl.col("pair_id").is_in(known.implode()), "toss", "pair_id").with_columns(
            # Without strata over one constant, as over() of nothing is an error.
            rank=pl.int_range(pl.len()).over(columns or [pl.lit(0)])
        )
        keys = ranked.filter(pl.col("rank") < pl.col("share"))
    return keys["pair_id"].unique().sort()


def _shares(sizes: pl.DataFrame, n: int) -> pl.Series:
    """Places of each stratum: its exact share rounded down, the places left over to the largest remainders."""
    total = int(sizes["size"].sum())
    exact = [n * size / total for size in sizes["size"]]
    places = [floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (places[i] - exact[i], i))
    # Rounding down leaves fewer places over than there are strata: none gets two.
    for i in by_remainder[: n - sum(places)]:
        places[i] += 1
    return pl.Series("share", places, dtype=pl.Int64)


class AuditForecast(Strict):
    """What an audit would send and cost: every answer at its longest, and in `most_…` every retry as well."""

    judge: str
    pairs: int
    requests: int
    """Questions, each pair in both orders."""
    prompt_tokens: int
    completion_tokens: int
    """At most, where every answer can be read."""
    cost: float | None
    """Likewise; None where no price is known."""
    most_requests: int
    """Each question asked as often as the judge's `retries` allow."""
    most_tokens: int
    """Of prompts, a token for each byte, and of answers."""
    most_cost: float | None

    def headline(self) -> dict[str, object]:
        """What the command line shows."""
        return {
            "judge": self.judge,
            "pairs": self.pairs,
            "requests, where all answers can be read": self.requests,
            "  prompt tokens": self.prompt_tokens,
            "  completion tokens, each answer at its longest": self.completion_tokens,
            "  cost": self.cost,
            "requests at most, with all retries": self.most_requests,
            "  tokens at most, one for each byte of a prompt": self.most_tokens,
            "  cost at most": self.most_cost,
        }


def estimate(
    pairs: pl.LazyFrame, judge: Judge, prices: Prices, count: Callable[[Sequence[Messages]], list[int]]
) -> AuditForecast:
    """Requests, tokens and money of judging `pairs` in both orders; sends nothing. `count` is as count_tokens."""
    number = sent = longest = 0
    for part in parts(pairs):
        rows = by_id(part)
        asked = requests(judge, [Question(pair_id, order) for pair_id in rows for order in ORDERS], rows, seed=0)
        turns = [turn["content"] for request in asked for turn in request.messages]
        number += len(rows)
        sent += sum(count([request.messages for request in asked]))
        longest += sum(len(text.encode("utf-8", "replace")) + FRAME for text in turns)
    questions, tries = number * len(ORDERS), judge.retries + 1
    received = questions * judge.max_new_tokens
    return AuditForecast(
        judge=judge.name,
        pairs=number,
        requests=questions,
        prompt_tokens=sent,
        completion_tokens=received,
        cost=price(prices, sent, received),
        most_requests=questions * tries,
        # A rough count may come out above a token per byte, and is the bound then.
        most_tokens=(max(longest, sent) + received) * tries,
        most_cost=price(prices, max(longest, sent) * tries, received * tries),
    )


def rough_tokens(conversations: Sequence[Messages]) -> list[int]:
    """A token per four characters: for estimates of models that are not to be opened."""
    return [ceil(sum(len(turn["content"]) for turn in messages) / 4) for messages in conversations]


def check_independent(judge: Judge, policies: Iterable[str | None], filter_judges: Iterable[str]) -> None:
    """ConfigError when the judge is one of the models that wrote the pairs, or one whose votes filtered them.

    Names are compared without case, organisation (`org/`) and what follows an @ within them (`policy@sso-2`).
    """
    for name in policies:
        if name and wrote(judge, [name]):
            raise ConfigError(
                f"the judge {judge.name} wrote some of these pairs ({name}): choose another, or allow it (allow_self)"
            )
    if wrote(judge, filter_judges):
        raise ConfigError(f"the judge {judge.name} filtered these pairs: choose another, or allow it (allow_self)")


def wrote(judge: Judge, names: Iterable[str | None]) -> bool:
    """Whether one of `names` is the judge, or the model behind it."""
    own = {_plain(judge.name), _plain(judge.model or judge.name)}
    return any(name is not None and _plain(name) in own for name in names)


def _plain(name: str) -> str:
    # Not an @ at the beginning, which some servers put before all their names: `@cf/org/model`.
    return re.sub(r"(?<=.)@.*", "", name).rstrip("/").rsplit("/", 1)[-1].casefold()
