"""Contrastive principles and the prompt templates around them, as data files.

`load("sso")` or `load("my/set.yaml")` gives a PrincipleSet, `template("judge")` or `template("my/judge.yaml")` a
Template. docs/principles.md describes the format and how to write a set.
"""

from principles.literal import json_literal
from principles.rendering import Template, template, template_of
from principles.sets import TOGETHER, Feature, PrincipleSet, Side, WorkedAnswer, load

__all__ = [
    "TOGETHER",
    "Feature",
    "PrincipleSet",
    "Side",
    "Template",
    "WorkedAnswer",
    "json_literal",
    "load",
    "template",
    "template_of",
]
