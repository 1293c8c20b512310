"""The bundled set keeps its promises, and a set that breaks a rule is refused with file, feature and field."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import principles
from factory.errors import InputError

ROOT = Path(__file__).parents[2]
PAIRS = {
    "Engagement": ("Engaging", "Dull"),
    "Accuracy": ("Accurate", "Inaccurate"),
    "Literariness": ("Literary", "Boring"),
    "Helpfulness": ("Helpful", "Unhelpful"),
    "Comprehensiveness": ("Comprehensive", "Incomplete"),
    "Logicality": ("Logical", "Illogical"),
    "Safety": ("Safe", "Unsafe"),
    "Concision": ("Concise", "Verbose"),
}
SSO, SHORT = principles.load("sso"), principles.load("short")
SMALL = {
    "name": "mine",
    "features": [
        {
            "name": "Warmth",
            "meaning": "Whether it is kind.",
            "good": {"adjective": "Warm", "principle": "Be kind to the reader."},
            "bad": {"adjective": "Cold", "principle": "Be curt with the reader."},
        }
    ],
}


def small(*names):
    return {**SMALL, "features": [{**SMALL["features"][0], "name": name} for name in names]}


def load(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return principles.load(str(path))


def test_the_paper_s_set_has_its_seven_features_and_concision_with_their_adjectives():
    found = {feature.name: (feature.good.adjective, feature.bad.adjective) for feature in SSO.features}
    assert found == PAIRS
    assert [feature.name for feature in SSO.offered] == list(PAIRS)[:7]
    assert [(feature.name, feature.probability) for feature in SSO.beside] == [("Concision", 0.2)]


@pytest.mark.parametrize("feature", SSO.features, ids=lambda feature: feature.name)
def test_good_and_bad_are_alike_in_length_and_build(feature):
    good, bad = (side.principle for side in (feature.good, feature.bad))
    assert 60 <= len(good.split()) <= 110
    assert 60 <= len(bad.split()) <= 110
    assert 0.85 <= len(bad.split()) / len(good.split()) <= 1 / 0.85
    assert 0.85 <= len(bad) / len(good) <= 1 / 0.85
    assert good.count(". ") == bad.count(". ")


@pytest.mark.parametrize("feature", [*SSO.features, *SHORT.features], ids=lambda feature: feature.name)
def test_no_principle_names_its_feature_or_adjective(feature):
    """A principle that names them invites replies that do."""
    for side in (feature.good, feature.bad):
        words = side.principle.lower().replace(",", " ").replace(".", " ").split()
        assert not {feature.name.lower(), feature.good.adjective.lower(), feature.bad.adjective.lower()} & set(words)


@pytest.mark.parametrize("found", [SSO, SHORT], ids=["sso", "short"])
def test_every_offered_feature_is_in_worked_examples_as_often_first_as_second(found):
    names = sorted(feature.name for feature in found.offered)
    assert sorted(example.features[0] for example in found.examples) == names
    assert sorted(example.features[1] for example in found.examples) == names


def test_the_short_set_is_short_and_what_was_measured():
    """The principles are word for word those of the experiments that say how far they are followed."""
    measured = [principles.load(str(ROOT / f"benchmarks/{name}.yaml")) for name in ("mechanism", "reward_general")]
    known = {(one.good.principle, one.bad.principle) for found in measured for one in found.features}
    mine = {(one.good.principle, one.bad.principle) for one in SHORT.features}
    assert mine <= known
    assert max(len(text.split()) for both in mine for text in both) < 20


def test_system_messages_are_all_that_can_be_sent():
    messages = SSO.system_messages()
    assert len(messages) == 16
    assert SSO.features[0].good.principle in messages[0]
    assert SSO.features[7].bad.principle in messages[15]


def test_a_set_may_have_any_number_of_features(tmp_path):
    assert [feature.name for feature in load(tmp_path, SMALL).offered] == ["Warmth"]
    many = [f"Trait {number}" for number in range(40)]
    assert [feature.name for feature in load(tmp_path, small(*many)).features] == many


def test_the_digest_follows_what_is_sent_and_nothing_else(tmp_path):
    base = load(tmp_path, SMALL).digest
    assert load(tmp_path, {**SMALL, "description": "other", "name": "other"}).digest == base
    changed = copy.deepcopy(SMALL)
    changed["features"][0]["bad"]["principle"] += " Always."
    assert load(tmp_path, changed).digest != base


def changed(*path, value):
    """SMALL with one value replaced, added, or (None) taken out."""
    data = copy.deepcopy(SMALL)
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


FEATURE = ("features", 0)
FAULTS = [
    (changed(*FEATURE, "bad", "principle", value=None), "feature Warmth, bad.principle: is missing"),
    (changed(*FEATURE, "good", "principle", value="  "), "feature Warmth, good.principle: "),
    (changed(*FEATURE, "good", "principle", value=7), "feature Warmth, good.principle: "),
    (changed(*FEATURE, "good", value="Be kind."), "feature Warmth, good: "),
    (changed(*FEATURE, "meaning", value=None), "feature Warmth, meaning: is missing"),
    (changed(*FEATURE, "weight", value=1), "feature Warmth, weight: is not a key that is known here"),
    (changed(*FEATURE, "name", value=None), "feature 1, name: is missing"),
    (changed(*FEATURE, "name", value="A, B"), "feature A, B, name: "),
    (changed(*FEATURE, "name", value="A|B"), "feature A|B, name: "),
    (changed(*FEATURE, "bad", "adjective", value="warm"), "feature Warmth: good.adjective and bad.adjective"),
    (changed(*FEATURE, "bad", "principle", value="Be kind to the reader."), "feature Warmth: good.principle and bad"),
    (changed(*FEATURE, "probability", value=0.2), "features: every feature has a probability"),
    (changed(*FEATURE, "probability", value=1.5), "feature Warmth, probability: "),
    (changed(*FEATURE, "probability", value=float("nan")), "feature Warmth, probability: "),
    (changed("features", value=[]), "features: "),
    (changed("features", value={"Warmth": 1}), "features"),
    (changed("features", value=["Warmth"]), "feature 1: "),
    (changed("name", value=None), "name: is missing"),
    (changed("extra", value=1), "extra: is not a key"),
    (small("Warmth", "warmth"), "features: the feature warmth is there twice"),
    (changed("examples", value=[{"prompt": "x", "features": ["Warmth", "Heat"]}]), "example 1 names Heat"),
    (changed("examples", value=[{"prompt": "x", "features": ["Warmth", "Warmth"]}]), "example 1 names Warmth twice"),
    (changed("examples", value=[{"prompt": "x", "features": ["Warmth"]}]), "example 1, features"),
    ("name: a\nname: b\n", "mine.yaml, line 2: the key name is there twice"),
    ("", "must be a mapping of keys to values"),
    ("- a\n", "must be a mapping of keys to values"),
]


@pytest.mark.parametrize(("content", "says"), FAULTS, ids=[says[:45] for _, says in FAULTS])
def test_a_fault_is_named_with_file_feature_and_field(tmp_path, content, says):
    with pytest.raises(InputError) as refused:
        load(tmp_path, content)
    assert says in str(refused.value)
    assert str(tmp_path / "mine.yaml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_probabilities_must_leave_room(tmp_path):
    data = small("A", "B", "C")
    data["features"][1]["probability"] = data["features"][2]["probability"] = 0.5
    with pytest.raises(InputError, match="add up to 1 and must stay below 1"):
        load(tmp_path, data)


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(InputError, match=r"no principle set is called 'ssso': give one of .*sso"):
        principles.load("ssso")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        principles.load(tmp_path / "none.yaml")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, principles; heavy = {'torch', 'transformers', 'vllm', 'openai', 'datasets', 'polars'};"
        " sys.exit(', '.join(heavy & sys.modules.keys()) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
