"""`trace`: all that is known of one pair: its prompt, the policies behind it, its principles, votes and measures."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import filters
from factory.errors import ConfigError, InputError
from factory.files import PathLike
from factory.files.json_text import read_object
from factory.schema import REPLIES, SCORES, conform
from principles.views import views

_AT = "at"
_SHORTEST = 4
"""Letters of a pair_id that say which pair is meant, at least."""


class Trace(NamedTuple):
    """What became of a pair, and of what it was made. Only what the folder holds is filled."""

    pair_id: str
    outcome: str
    """`kept`, `rejected by FILTER: REASON`, or `exported` where only an export is at hand."""
    prompt: dict[str, Any]
    """Its text, id, source, licence and the iteration it was for."""
    policies: list[str]
    """Which policy made the pair, and which trainings led to it, the first one first."""
    principles: dict[str, Any]
    """The feature, who chose it, and both system messages."""
    replies: list[dict[str, Any]]
    """Each reply with its length, its ending and its log-probabilities."""
    requests: list[dict[str, Any]]
    """What the policy was asked for each reply: the messages, before its template."""
    sampling: dict[str, Any]
    votes: list[dict[str, Any]]
    measures: list[dict[str, Any]]
    """What each filter measured on the pair, in the order of the funnel."""


def trace(run_or_export: PathLike, pair_id: str) -> Trace:
    """All that a run folder, a folder of `filter`, or an export holds about a pair.

    `pair_id` may be cut short, as reports show it, while it fits one pair alone. InputError where it fits none or
    several, or where the folder holds no pairs.
    """
    root = Path(run_or_export)
    row, outcome = _find(root, pair_id.strip())
    config = read_object(root / "run.json").get("config") or {}
    return Trace(
        pair_id=row["pair_id"],
        outcome=outcome,
        prompt=_prompt(root, row, config),
        policies=list(_policies(root, row, config)),
        principles=_principles(root, row),
        replies=list(_replies(row)),
        requests=list(_requests(row)),
        sampling=config.get("sampling") or {},
        votes=list(_votes(root, row["pair_id"])),
        measures=list(_measures(row, config)),
    )


def _find(root: Path, wanted: str) -> tuple[dict[str, Any], str]:
    """The pair's row and what became of it."""
    tables = [
        (folder / f"{name}.parquet", name) for folder in (root / "filtered", root) for name in ("kept", "rejected")
    ]
    tables += [(path, "scored, not filtered yet") for path in sorted(root.glob("iterations/*/scores.parquet"))]
    # Last of all: the first table that holds the pair tells most of it.
    tables += [(path, "exported") for path in sorted(root.glob("*/*.parquet")) if path.parent.name in _SPLITS]
    seen = [(path, name) for path, name in tables if path.is_file()]
    if not seen:
        raise InputError(f"{root} holds no pairs; give a run folder, one that filter wrote, or an export in Parquet")
    short, column = len(wanted) < _SHORTEST, pl.col("pair_id")
    meant = column == wanted if short else column.str.starts_with(wanted)
    hits: list[tuple[int, str, Path, str]] = []
    for path, name in seen:
        scan = pl.scan_parquet(path, glob=False)
        if "pair_id" in scan.collect_schema():
            # Ids alone: the texts of the others are not read.
            named = scan.select("pair_id").with_row_index(_AT).filter(meant).collect(engine="streaming")
            hits += [(at, one, path, name) for at, one in named.iter_rows()]
    # A whole id first: one that is the user's own may begin another.
    hits = [hit for hit in hits if hit[1] == wanted] or hits
    ids = list(dict.fromkeys(hit[1] for hit in hits))
    if len(ids) > 1:
        raise InputError(f"{wanted} fits {len(ids)} pairs of {root}, such as {ids[0]} and {ids[1]}; give more of it")
    for at, _, path, name in hits[:1]:
        row = pl.scan_parquet(path, glob=False).slice(at, 1).collect(engine="streaming").row(0, named=True)
        return row, f"rejected by {row['filter']}: {row['reason']}" if name == "rejected" else name
    if short:
        raise ConfigError(f"{wanted!r} is too short for a pair_id; give {_SHORTEST} of its letters at least")
    raise InputError(f"{root} holds no pair {wanted}; `pair_id` in its tables, or a report, names those it holds")


_SPLITS = ("data", "train", "test")


def _prompt(root: Path, row: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    known = _rows(root / "prompts.parquet", prompt_id=row.get("prompt_id"))
    # Of an export in which each side is a whole conversation, what comes before its last turn.
    turns = row.get("prompt") or (row["chosen"][:-1] if isinstance(row.get("chosen"), list) else [])
    return {
        "text": "\n".join(turn["content"] or "" for turn in turns),
        "prompt_id": row.get("prompt_id"),
        "source": known[0]["source"] if known else row.get("source"),
        "license": (config.get("prompts") or {}).get("license"),
        "iteration": row.get("iteration"),
    }


def _policies(root: Path, row: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    if row.get("policy"):
        number = row.get("iteration")
        known = [row.get("method"), None if number is None else f"iteration {number}"]
        how = ", ".join(one for one in known if one)
        yield f"{row['policy']}{how and f' ({how})'} wrote the replies"
    latest = row.get("iteration") or 0
    folders = [(number, f"iterations/{number}") for number in range(1, latest)]
    # The policy of an iteration is trained in the one before it, its data generator in the same.
    for number, folder in (*folders, (latest, f"iterations/{latest}/generator")):
        trained = read_object(root / folder / "policy/policy.json")
        if trained:
            by = "generator trained" if folder.endswith("generator") else "trained"
            yield f"{by} in iteration {number} from {trained.get('parent')} by {trained.get('method', 'training')}"
    license_ = (config.get("policy") or {}).get("license")
    if license_:
        yield f"licence of the policy: {license_}"


def _principles(root: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    answered = _rows(root / f"iterations/{row.get('iteration')}/features.parquet", prompt_id=row.get("prompt_id"))
    own = {name: row.get(name) for name in ("feature", "feature_source", "system_good", "system_bad")}
    return {**own, "features named by the policy": answered[0]["allocated"] if answered else None}


def _replies(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for reply in REPLIES:
        text = row.get(reply)
        if text is None:
            continue
        text = text[-1]["content"] if isinstance(text, list) else text
        logps = {name.removeprefix("logp_"): row[name] for name in row if name.startswith(f"logp_{reply}_")}
        yield {
            "reply": reply,
            "text": text,
            "characters": len(text),
            "tokens": row.get(f"tokens_{reply}"),
            "finish": row.get(f"finish_{reply}"),
            **{name: value for name, value in logps.items() if value is not None},
        }


def _requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Known of pairs that were made under principles, whose two system messages are in the row."""
    if not isinstance(row.get("prompt"), list) or row.get("system_good") is None or row.get("system_bad") is None:
        return
    made = views(row["prompt"], row["system_good"], row["system_bad"])
    for reply, view in zip(("original", "chosen", "rejected"), made, strict=True):
        if row.get(reply) is not None:
            yield {"reply": reply, "messages": view}


def _votes(root: Path, pair_id: str) -> Iterator[dict[str, Any]]:
    """Those of the filters' judges, and of an audit, which says so."""
    yield from _rows(root / "filtered/judgments.parquet", root / "judgments.parquet", pair_id=pair_id)
    for vote in _rows(root / "audit/judgments.parquet", pair_id=pair_id):
        yield {**vote, "audit": True}


def _measures(row: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the run's filters see of the pair; a filter whose files are gone is left out."""
    if not config or not isinstance(row.get("chosen"), str):
        return
    # Without the columns of exports and of the user's, whose types one row may not tell.
    one = conform(pl.DataFrame([row], infer_schema_length=None).select(n for n in row if n in SCORES.columns), SCORES)
    for block in config.get("filters") or filters.paper(judged=bool(config.get("judges"))):
        with suppress(ConfigError):
            for step in filters.build([block]):
                measured = {name: one.select(expr).item() for name, expr in step.measures().items()}
                if measured:
                    # A struct holds hashes, which tell a reader nothing.
                    known = {n: value for n, value in measured.items() if not isinstance(value, dict | None)}
                    yield {"filter": step.name, **known}


def _rows(*paths: Path, **where: Any) -> list[dict[str, Any]]:
    """The rows of the first of the tables that exists in which the columns have these values."""
    path = next((path for path in paths if path.is_file()), None)
    if path is None or None in where.values():
        return []
    meant = [pl.col(name) == value for name, value in where.items()]
    return pl.scan_parquet(path, glob=False).filter(*meant).collect(engine="streaming").to_dicts()
