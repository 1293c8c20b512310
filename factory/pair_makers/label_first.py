"""`label_first`: the label is drawn before the second reply is written, as a better or a worse one than the first."""

import polars as pl

from factory.engines.base import Completion
from factory.identity import draw
from factory.line.steps import IterationTables, Steps
from factory.models.ref import ModelRef
from factory.schema import MESSAGES, Split
from factory.stages.plain_pairs import Origin, Pairing, paired, replies
from factory.store import Stage
from factory.store.journal import Journal
from principles import template_of
from principles.leaks import find_leak, strip_label

LABELS = ("better", "worse")


def make(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> IterationTables:
    """A plain reply to each prompt, then another one that is to be better, or worse, than it."""
    sampling, seed = steps.config.sampling, steps.config.run.seed
    frame = template_of("second", steps.config.pairs.template)

    def write(part: pl.DataFrame, journal: Journal) -> Split:
        engine = steps.engines.generator(steps.config.engine, policy, journal, f"replies {iteration}")
        first = {id_: one[0] for id_, one in replies(part, engine, sampling, seed, iteration, "first").items()}
        answered = part.filter(pl.col("prompt_id").is_in([id_ for id_, one in first.items() if one.text]))
        questions = [
            frame.render(prompt=prompt, reply=first[id_].text or "", label=label(seed, id_, iteration))
            for id_, prompt in answered.select("prompt_id", "prompt").rows()
        ]
        asked = answered.with_columns(prompt=pl.Series(questions, dtype=MESSAGES))
        second = replies(asked, engine, sampling, seed, iteration, "second")
        made = {
            id_: [pairing(one, second[id_][0] if id_ in second else one, label(seed, id_, iteration))]
            for id_, one in first.items()
        }
        return paired(part, made, Origin("label_first", policy.called, iteration))

    return IterationTables(steps.pairs(prompts, policy, iteration, write, {"template": frame.digest}))


def label(seed: int, prompt_id: str, iteration: int) -> str:
    """What the second reply to a prompt is to be: a coin."""
    # By the prompt's id, not its place: the same prompt gets the same label in a file of another order.
    return LABELS[draw(seed, "label", prompt_id, iteration) % 2]


def pairing(first: Completion, second: Completion, label: str) -> Pairing:
    """The two replies as the label has them; a second one that speaks of what it was asked for is no reply."""
    if second is not first and second.text is not None:
        text = strip_label(second.text, LABELS)
        words = find_leak(text, LABELS)
        # What the server counted was the text with its label.
        tokens = second.completion_tokens if text == second.text else None
        second = Completion(second.id, text, second.finish, completion_tokens=tokens, error=second.error)
        if words:
            return Pairing(first, second, "leak", words)
    return Pairing(second, first) if label == "better" else Pairing(first, second)
