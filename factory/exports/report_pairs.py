"""The pairs that the report's reader shows: some hundreds, drawn by seed, every reason for rejection among them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from factory.schema import REPLIES, VIEWS, logp_column
from filters.coin import toss_expr
from filters.votes import verdicts

SHOWN = 500
LONGEST = 20_000
"""Characters of a text that are carried; replies are rarely longer."""
_ROW = "__row"
_PLAIN = ("pair_id", "iteration", "feature", "source", "policy", "system_good", "system_bad", *REPLIES)
_MARKS = ("filter", "reason", "detail", "flags")


def reader_pairs(root: Path, seed: int, shown: int = SHOWN) -> list[dict[str, Any]]:
    """Kept and rejected pairs as plain values for JSON, half of each where there are so many; texts cut at LONGEST."""
    kept, rejected = (_scan(root / f"filtered/{name}.parquet") for name in ("kept", "rejected"))
    sizes = [frame.select(pl.len()).collect().item() if frame is not None else 0 for frame in (kept, rejected)]
    want_rejected = min(sizes[1], max(shown // 2, shown - sizes[0]))
    want_kept = min(sizes[0], shown - want_rejected)
    rows = [
        *(_drawn(kept, want_kept, seed, []) if kept is not None else []),
        *(_drawn(rejected, want_rejected, seed, ["filter", "reason"]) if rejected is not None else []),
    ]
    votes = _votes(root, [row["pair_id"] for row in rows if row.get("pair_id")])
    return [{**_plain(row), "votes": votes.get(row.get("pair_id"), [])} for row in rows]


def _scan(path: Path) -> pl.LazyFrame | None:
    return pl.scan_parquet(path) if path.is_file() else None


def _drawn(frame: pl.LazyFrame, count: int, seed: int, by: Sequence[str]) -> list[dict[str, Any]]:
    """`count` rows with the lowest coins; from every group of `by` one first, then a second, and so on."""
    known = frame.collect_schema()
    groups = [name for name in by if name in known]
    coin = toss_expr(f"report {seed}").fill_null(0) if "pair_id" in known else pl.lit(0, pl.UInt64)
    narrow = frame.with_row_index(_ROW).select(_ROW, *groups, coin.alias("coin")).collect(engine="streaming")
    turn = pl.int_range(pl.len()).over(groups) if groups else pl.lit(0)
    order = narrow.sort("coin", _ROW).with_columns(turn=turn).sort("turn", "coin", _ROW).head(count)
    picked = order[_ROW]
    rows = frame.with_row_index(_ROW).filter(pl.col(_ROW).is_in(picked.implode())).collect(engine="streaming")
    place = pl.DataFrame({_ROW: picked, "place": range(len(picked))}, schema_overrides={_ROW: rows[_ROW].dtype})
    ordered = rows.join(place, on=_ROW).sort("place").drop(_ROW, "place")
    return ordered.to_dicts()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    cells = {name: _cut(row[name]) for name in (*_PLAIN, *_MARKS) if row.get(name) not in (None, [], "")}
    if isinstance(row.get("prompt"), list):
        cells["prompt"] = [{"role": t["role"], "content": _cut(t["content"] or "")} for t in row["prompt"] if t]
    elif row.get("row"):
        cells["row"] = _cut(row["row"])
    logps = {
        f"{reply}_{view}": round(row[name], 4)
        for reply in REPLIES
        for view in VIEWS
        if isinstance(row.get(name := logp_column(reply, view)), float)
    }
    finishes = {reply: row[f"finish_{reply}"] for reply in REPLIES if row.get(f"finish_{reply}")}
    return {**cells, **({"logps": logps} if logps else {}), **({"finish": finishes} if finishes else {})}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]} … ({len(value):,} characters)"
    if isinstance(value, str | int | float):
        return value
    return str(value)


def _votes(root: Path, pair_ids: Sequence[str]) -> dict[str | None, list[dict[str, Any]]]:
    """Per pair what each judge said, those of the audit marked."""
    found: dict[str | None, list[dict[str, Any]]] = {}
    wanted = pl.Series(list(dict.fromkeys(pair_ids)), dtype=pl.String).implode()
    for path, audit in ((root / "filtered/judgments.parquet", False), (root / "audit/judgments.parquet", True)):
        table = _scan(path)
        if table is None:
            continue
        rows = table.filter(pl.col("pair_id").is_in(wanted)).select("pair_id", "judge", "order", "vote").collect()
        said = {(pair, judge): verdict for pair, judge, verdict in verdicts(rows).collect().iter_rows()}
        for pair, judge in sorted(said):
            votes = rows.filter(pl.col("pair_id") == pair, pl.col("judge") == judge).sort("order")
            entry = {"judge": judge, "verdict": said[pair, judge], "audit": audit}
            found.setdefault(pair, []).append({**entry, "votes": dict(votes.select("order", "vote").iter_rows())})
    return found
