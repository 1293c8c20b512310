"""What an audit's document says of its input and its judge."""

import shlex
from pathlib import Path
from typing import NamedTuple

from factory.config import Config, Judge
from factory.config.engines import EngineBlock
from factory.exports.pages.document import SAMPLED, About, Source, source_of
from factory.readers import PairsLike, fingerprint
from factory.readers.inputs.sources import as_list, find
from factory.stages.asked_models import judge_block, judge_model
from principles import template_of


class Seen(NamedTuple):
    """How much of the input there was."""

    rows: int
    left_out: int
    sampled: int


def about(
    pairs: PairsLike,
    seen: Seen,
    judge: Judge,
    seed: int,
    size: int | None,
    gold: str | None,
    certify: float | None,
) -> About:
    """Of an audit of files, frames and folders."""
    named = [Path(given).name if isinstance(given, str | Path) else "DATA" for given in as_list(pairs)]
    kind = judge.engine.kind if judge.engine else None
    engine = None if kind == "openai" else kind  # which runs a judge where no other is named
    options = {"--judge": judge.name, "--engine": engine, "--sample": size, "--certify": certify}
    options["--gold"] = gold and Path(gold).name
    words = [f"{option} {shlex.quote(str(value))}" for option, value in options.items() if value is not None]
    # Names of files without their folders, and quoted: it is shown to others, who paste it.
    command = " ".join(["sso-factory audit", *map(shlex.quote, named), *words, "--out DIR"])
    return _about(sources(pairs), seen, judge, seed, command, None)


def about_run(kept: Path, seen: Seen, judge: Judge, seed: int, run: Config) -> About:
    """Of the audit that closes a run."""
    return _about([source_of(kept)], seen, judge, seed, "sso-factory run CONFIG.yaml", run.engine)


def sources(pairs: PairsLike) -> list[Source]:
    """The files by name and hash; what is no file by the hash of its content."""
    found = []
    for given in as_list(pairs):
        for each in find(given):
            if each.path is not None:
                found.append(source_of(each.path))
            else:
                found.append(Source(name=each.where, sha256=f"– (content hash {fingerprint([given])})"))
    return found


def _about(
    read: list[Source], seen: Seen, judge: Judge, seed: int, command: str, run_engine: EngineBlock | None
) -> About:
    facts = {
        "usable pairs": seen.rows,
        "rows left out": seen.left_out,
        SAMPLED: seen.sampled,
        "seed": seed,
        "judge": judge.name,
        "model behind it": judge_model(judge),
        "engine": judge_block(judge, run_engine).kind,
        "template": f"{Path(judge.template).name}, hash {template_of('judge', judge.template).digest}",
        "command": command,
    }
    return About(read, facts)
