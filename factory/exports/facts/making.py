"""What a card says of how the pairs of a run were made: one entry for each value of `pairs.from`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

CITATION = """@article{xiang2024aligning,
  title   = {Aligning Large Language Models via Self-Steering Optimization},
  author  = {Hao Xiang and Bowen Yu and Hongyu Lin and Keming Lu and Yaojie Lu and Xianpei Han and Ben He and
             Le Sun and Jingren Zhou and Junyang Lin},
  journal = {arXiv preprint arXiv:2410.17131},
  year    = {2024}
}"""
PRINCIPLES = "principles"
"""The maker of runs that name none."""


class Making(NamedTuple):
    """How pairs were made, in the words of a card."""

    made: str
    """How the two replies came about, after `made …`; below the words of `named` where they are told apart."""
    trained: str
    """What training does to the model, after `is trained …`."""
    rejected: str
    """What the rejected replies are, a sentence."""
    why: str
    """What that rests on, a sentence."""
    labels: str
    """What a label comes from."""
    contrast: str
    """What a reward model learns of these pairs, a sentence or two."""
    keys: tuple[str, ...] = ()
    """The keys of the block `pairs` that decide the data."""
    models: Mapping[str, str] = {}
    """Key of the block to the part that the model which it names had, where it names one."""
    two_voices: bool = False
    """Whether chosen and rejected are written by two models."""
    named: Mapping[str, str] = {}
    """`training.method` to what the way of making pairs is called under it, which goes before `made`."""


MAKINGS: Mapping[str, Making] = {
    PRINCIPLES: Making(
        made="a chat model is steered by contrastive principles to write a good and a bad reply to the same prompt",
        named={
            "sso": "with Self-Steering Optimization (SSO): ",
            "sso_no_w": "with Self-Steering Optimization (SSO) without its weight W: ",
            "sso_no_g": "with Self-Steering Optimization (SSO) without its steering loss G: ",
            "pbaa": "by the prompting of Self-Steering Optimization alone, without its loss: ",
            "annotated": "by the prompting of Self-Steering Optimization alone, without its loss: ",
            "none": "by the prompting of Self-Steering Optimization alone, with no training: ",
        },
        trained="so that both stay close to what it would say anyway",
        rejected="The rejected replies are bad on purpose.",
        why="Each was written under an instruction to be bad in the feature that its row names.",
        labels="how a reply was asked for",
        contrast="The contrast is the one the principles describe. A reward model that has seen nothing else learns "
        "these features and may overlook other faults.",
    ),
    "delta": Making(
        made="of the replies of two models to the same prompt: the policy's is chosen, a weaker model's is rejected",
        trained="on the pairs",
        rejected="The rejected replies are those of a weaker model.",
        why="None was asked to be bad, and only the name of its writer says that it is worse.",
        labels="which model wrote a reply",
        contrast="The contrast is the one between two models. A reward model that has seen nothing else may learn to "
        "tell the two apart, by their style as well as by their quality.",
        keys=("weak",),
        models={"weak": "weaker model"},
        two_voices=True,
    ),
    "best_of_n": Making(
        made="of several replies of a chat model to the same prompt, of which the one found best is chosen and the one "
        "found worst is rejected",
        trained="on the pairs",
        rejected="The rejected replies are the worst of several.",
        why="None was asked to be bad; language models or a reward model found them worse than the chosen ones.",
        labels="how language models or a reward model ranked the replies",
        contrast="The contrast is the taste of whoever ranked the replies. A reward model that has seen nothing else "
        "learns that taste, with its faults.",
        keys=("n", "by"),
        models={"by": "reward model that ranked the replies"},
    ),
    "label_first": Making(
        made="of two replies of a chat model to the same prompt, the second of which was asked to be better, or worse, "
        "than the first",
        trained="on the pairs",
        rejected="Many of the rejected replies are bad on purpose.",
        why="About half were written under an instruction to be worse than another reply; the others were to be beaten "
        "by a better one.",
        labels="how a reply was asked for",
        contrast="The contrast is what the model takes for better and for worse. A reward model that has seen nothing "
        "else learns that and may overlook other faults.",
        keys=("template",),
    ),
}

UNKNOWN = Making(
    made="in a way that is no part of this version of sso-factory",
    trained="on the pairs",
    rejected="The rejected replies may be bad on purpose.",
    why="How they came about is not known here.",
    labels="a way of making pairs that is not known here",
    contrast="What a reward model learns of these pairs is not known here.",
)
"""What is said of a run by another version, with a maker that is not among these."""


def making_of(maker: str, config: Mapping[str, Any]) -> Making:
    """How the pairs of a run with this configuration were made, under the name of the method that was used."""
    found = MAKINGS.get(maker, UNKNOWN)
    method = str((config.get("training") or {}).get("method") or "sso")
    return found._replace(made=found.named.get(method, "") + found.made)


def maker_of(config: Mapping[str, Any]) -> str:
    """The pair maker of a run with this configuration; runs of before there was a choice used principles."""
    return str((config.get("pairs") or {}).get("from") or PRINCIPLES)
