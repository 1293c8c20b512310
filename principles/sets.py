"""Principle sets: features, each with a good and a bad principle, read from one YAML file and checked."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from factory.identity import digest
from factory.strict import Strict
from principles.files import dotted, read
from principles.rendering import template

_FOLDER = Path(__file__).parent
TOGETHER = " + "
"""Joins the names of features that steer a reply at once; no name may hold it."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=60, pattern=r"^\w[\w '&/-]*$")]
"""A word or a few: letters, digits, spaces, ' & / and -, since names are listed with commas."""
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Side(Strict):
    """One half of a contrast."""

    adjective: Name
    """What a reply of this side is called, such as Engaging; replies that call themselves so have leaked."""
    principle: Text
    """What the policy is told, addressed to it as you."""


class Feature(Strict):
    """A trait of replies that can be steered both ways."""

    name: Name
    """How the policy and the tables call it."""
    meaning: Text
    """One or two sentences on what it is about."""
    good: Side
    """Steers the chosen reply."""
    bad: Side
    """Steers the rejected reply."""
    probability: float | None = Field(None, gt=0, lt=1)
    """null: one of those the policy is asked to choose from. A number: never offered, drawn this often instead."""

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        if self.good.adjective.casefold() == self.bad.adjective.casefold():
            raise ValueError("good.adjective and bad.adjective are the same word")
        if self.good.principle == self.bad.principle:
            raise ValueError("good.principle and bad.principle are the same text")
        return self


class WorkedAnswer(Strict):
    """One worked answer shown to the policy before it names features itself."""

    prompt: Text
    """A prompt."""
    features: tuple[Name, Name]
    """The two features that matter most for it, most important first."""


class PrincipleSet(Strict):
    """A set of features with their principles. Any number of features from one on."""

    name: Name
    """How cards and reports call the set."""
    description: str = ""
    """For readers of the file."""
    license: str | None = None
    """Licence of the texts, for the dataset card."""
    features: tuple[Feature, ...] = Field(min_length=1)
    """In the order in which they are listed to the policy."""
    examples: tuple[WorkedAnswer, ...] = ()
    """Worked answers for the allocation; none is allowed, a few help small models much."""

    @field_validator("features")
    @classmethod
    def _distinct(cls, features: tuple[Feature, ...]) -> tuple[Feature, ...]:
        seen: set[str] = set()
        for feature in features:
            # Answers are read without regard to case, so that two such names are one.
            if feature.name.casefold() in seen:
                raise ValueError(f"the feature {feature.name} is there twice")
            seen.add(feature.name.casefold())
        drawn = [feature.probability for feature in features if feature.probability is not None]
        if len(drawn) == len(features):
            raise ValueError("every feature has a probability; leave it out of those the policy is to choose from")
        # One coin decides among them: the rest of 1 is what the offered features get.
        if sum(drawn) >= 1:
            raise ValueError(f"the probabilities add up to {sum(drawn):g} and must stay below 1")
        return features

    @model_validator(mode="after")
    def _examples_name_features(self) -> Self:
        offered = {feature.name for feature in self.offered}
        for number, example in enumerate(self.examples, 1):
            strange = [name for name in example.features if name not in offered]
            if strange:
                raise ValueError(f"example {number} names {strange[0]}, which is not a feature the policy may choose")
            if example.features[0] == example.features[1]:
                raise ValueError(f"example {number} names {example.features[0]} twice")
        return self

    @cached_property
    def offered(self) -> tuple[Feature, ...]:
        """The features the policy chooses from."""
        return tuple(feature for feature in self.features if feature.probability is None)

    @cached_property
    def beside(self) -> tuple[Feature, ...]:
        """The features that are drawn with a probability of their own."""
        return tuple(feature for feature in self.features if feature.probability is not None)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Name to feature."""
        return {feature.name: feature for feature in self.features}

    def at(self, names: str) -> tuple[Feature, ...]:
        """The features whose names `names` joins with TOGETHER, in its order. Raises KeyError for an unknown one."""
        return tuple(self.by_name[name] for name in names.split(TOGETHER))

    @cached_property
    def digest(self) -> str:
        """Hash of the set and of the templates its texts are put into: what decides the questions asked."""
        # What a set is called and by whom it is changes no question, and must not make a run's stages anew.
        texts = self.model_dump(mode="json", exclude={"name", "description", "license"})
        return digest([texts, *(template(name).digest for name in ("features", "contrast", "principles"))])

    def system_messages(self) -> tuple[str, ...]:
        """Every system message the set can lead to: good, then bad of each feature, worded by the contrast template."""
        frame = template("contrast")
        sides = (side for feature in self.features for side in (feature.good, feature.bad))
        return tuple(frame.render(principle=side.principle)[0]["content"] for side in sides)


def load(name_or_path: str | Path) -> PrincipleSet:
    """The principle set of that name in principles/, or of that file.

    InputError names file, feature and field when the file cannot be read, holds a key twice or breaks a rule above.
    """
    return read(name_or_path, _FOLDER, "principle set", PrincipleSet, _place)


def _place(loc: tuple[int | str, ...], raw: Any) -> str:
    if len(loc) < 2 or loc[0] not in ("features", "examples") or not isinstance(loc[1], int):
        return dotted(loc)
    name: Any = None
    if loc[0] == "features" and isinstance(raw["features"], list) and isinstance(raw["features"][loc[1]], dict):
        name = raw["features"][loc[1]].get("name")
    what = f"feature {name}" if isinstance(name, str) and name.strip() else f"{loc[0][:-1]} {loc[1] + 1}"
    return f"{what}, {dotted(loc[2:])}" if loc[2:] else f"{what}: "
