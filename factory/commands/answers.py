"""A policy's answers to the questions of an evaluation tool, in that tool's own files."""

import re
from pathlib import Path
from typing import Any

from factory.config import Sampling
from factory.config.engines import EngineBlock, TransformersEngine
from factory.engines.api.accounts import Spending
from factory.errors import ConfigError, EngineError
from factory.exports.eval_files import EVAL_FORMATS, questions
from factory.exports.public import public_name
from factory.identity import DEFAULT_SEED
from factory.line.panel import EnginePool
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import fingerprint
from factory.stages.answers import answer
from factory.store import Workspace, open_run, write_text
from factory.store.ownership import require_apart


def answers(
    prompts: str | Path,
    format: str,  # noqa: A002
    out: str | Path,
    *,
    policy: str,
    name: str | None = None,
    engine: EngineBlock | None = None,
    sampling: Sampling | None = None,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
) -> list[Path]:
    """Let `policy` answer the questions of a file and write them for `alpaca_eval` or `mt_bench`; returns the file.

    `name` is what the tool calls the policy, by default the last part of its own name. Questions that could not be
    answered are left out and counted; EngineError when none could. The same call goes on where a killed one stopped.
    """
    shown, block = progress or Silent(), engine or TransformersEngine()
    options = sampling or Sampling()
    called = name or re.sub(r"[^\w.-]+", "-", public_name(policy).rsplit("/", 1)[-1])
    if not re.fullmatch(r"\w[\w.-]*", called):
        raise ConfigError(f"{called!r} cannot be a file's name; give the policy another name")
    require_apart(Path(out), [prompts, policy])
    asked = questions(prompts, format)
    kind = EVAL_FORMATS[format]

    def build(work: Workspace) -> dict[str, Any]:
        with EnginePool(shown, Spending(Path(out))) as room:
            generator = room.generator(block, ModelRef(policy), work.journal, f"answers of {called}")
            given = answer(asked, generator, options, seed)
        good = [one for one in given if one.error is None]
        if not good:
            raise EngineError(f"{policy} answered none of {len(given)} questions: {given[0].error}")
        if len(good) < len(given):
            shown.say(f"{len(given) - len(good)} questions could not be answered and are left out")
        write_text(work.path / kind.place(called), kind.answers(good, called))
        return {"rows": len(good), "rejected": len(given) - len(good)}

    inputs = {
        "questions": fingerprint([prompts]),
        "format": format,
        "policy": policy,
        "name": called,
        "engine": block.fingerprint,
        "sampling": options.model_dump(mode="json"),
        "seed": seed,
    }
    with open_run(Path(out), shown) as folder:
        return [Path(out) / path for path in folder.stage("answers", inputs, build, [kind.place(called)]).outputs]
