"""Where the pairs of an export are from, in PROV-O, and what is to be known before they are used, as RAI fields."""

from typing import Any

import factory
from factory.errors import percent, span
from factory.exports.card.facts import CardFacts
from factory.exports.facts.making import Making, making_of
from factory.exports.facts.models import RunFacts
from factory.exports.facts.opinions import opinions

_NOBODY = "Nobody looked for personal data: what the prompts hold of it, and what the models say, may be in the pairs."

_IMPACT = (
    "Rejected replies may be false or harmful. They are the losing side of a comparison; whoever trains on them as"
    " demonstrations, or shows them to people, spreads them."
)
_JUDGED = "Judges were asked which reply is better, the two in either order, and what they contradicted was dropped."


def provenance(facts: CardFacts) -> dict[str, Any]:
    """What the pairs were derived from, what made them, and who; of bare pair files only that they were exported."""
    tool = {
        "@type": "prov:SoftwareAgent",
        "prov:label": f"sso-factory {facts.run.version if facts.run else factory.__version__}",
    }
    if facts.run is None:
        export = {"@type": "prov:Activity", "prov:label": "export of pairs that were read from files"}
        return {"prov:wasGeneratedBy": {**export, "prov:wasAssociatedWith": tool}, "prov:wasAttributedTo": tool}
    run = facts.run
    agents = [
        {"@type": "prov:SoftwareAgent", "prov:label": f"{model.role}: {model.name}", **_licence(model.license)}
        for model in run.models
    ]
    sources = [{**_entity("prompts", f"prompts of the run {run.name}"), **_licence(run.prompts_license)}]
    sources += [_entity(f"mixed/{name}", f"{n:,} pairs mixed in from {name}") for name, n in facts.mixed.items()]
    made: dict[str, Any] = {
        "@type": "prov:Activity",
        "prov:label": f"run {run.name} of sso-factory, seed {run.seed}",
        **({"prov:endedAtTime": run.finished} if run.finished else {}),
        "prov:used": sources,
        "prov:wasAssociatedWith": [tool, *agents],
        "prov:wasInformedBy": _steps(run),
    }
    return {
        "prov:wasDerivedFrom": sources,
        "prov:wasGeneratedBy": made,
        "prov:wasAttributedTo": [tool, *agents],
    }


def _licence(name: str | None) -> dict[str, str]:
    return {"sc:license": name} if name else {}


def _entity(name: str, label: str) -> dict[str, Any]:
    # An @id is an IRI, in which no space may stand.
    return {"@type": "prov:Entity", "@id": f"urn:sso-factory:{'-'.join(name.split())}", "prov:label": label}


def _steps(run: RunFacts) -> list[dict[str, Any]]:
    """The activities that led to the pairs, in order: each iteration, each filter, the audit."""
    said = []
    for each in run.iterations:
        trained = ", and the policy was trained on them" if each.metrics else ""
        said.append(f"iteration {each.number}: {each.pairs or 0:,} pairs were written{trained}")
    for step in run.funnel.steps if run.funnel else []:
        reasons = ", ".join(f"{n:,} {token}" for token, n in sorted(step.reasons.items()))
        why = f" ({reasons})" if reasons else ""
        said.append(f"filter {step.filter}: {step.kept:,} kept, {step.rejected:,} rejected{why}")
    if run.audit:
        said.append(f"audit by {run.audit.judge or 'a judge'}: {run.audit.n:,} pairs in both orders")
    return [{"@type": "prov:Activity", "prov:label": line} for line in said]


def responsible(facts: CardFacts) -> dict[str, Any]:
    """The RAI fields; one that nothing is known for is left out."""
    run = facts.run
    making = making_of(run.maker, run.config) if run else None
    found = {
        "rai:dataCollection": f"Made {making.made}." if making else None,
        "rai:dataCollectionType": ["Synthetic, by language models"] if run else None,
        "rai:dataPreprocessingProtocol": [step["prov:label"] for step in _steps(run)] if run else None,
        "rai:dataAnnotationProtocol": _annotation(run, making) if run and making else None,
        "rai:machineAnnotationTools": [m.name for m in run.models if m.role in ("judge", "auditor")] if run else None,
        "rai:annotationsPerItem": "At most two votes of each judge, one in each order." if run and run.judges else None,
        "rai:dataBiases": _biases(facts),
        "rai:dataLimitations": _limits(run, making),
        "rai:dataUseCases": ["Training and measuring reward models, and preference optimisation."],
        "rai:dataSocialImpact": _IMPACT,
        "rai:personalSensitiveInformation": [_NOBODY],
    }
    return {name: value for name, value in found.items() if value}


def _annotation(run: RunFacts, making: Making) -> list[str]:
    shares = [
        f"{said.by}: {said.measure} {percent(said.share)} ({span(*map(percent, (said.low, said.high)))}) of {said.n:,} "
        f"{said.of}"
        for said in opinions(run)
    ]
    return [f"A label says {making.labels}.", *([_JUDGED] if run.judges else []), *shares]


def _biases(facts: CardFacts) -> list[str]:
    longer = facts.pairs.lengths.longer_chosen
    said = [f"Chosen is the longer reply in {percent(longer.value)} of the pairs of unequal length."] if longer else []
    return [*said, *facts.confounds, *(facts.run.warnings if facts.run else [])]


def _limits(run: RunFacts | None, making: Making | None) -> list[str]:
    said = [f"{making.rejected} {making.why}", making.contrast] if making else []
    said += [f"{line[:1].upper()}{line[1:]}." for line in (run.caveats if run else [])]
    if run and not (run.audit and run.audit.estimate and run.audit.estimate.n_gold):
        said.append("No person labelled pairs: agreement with a judge is not accuracy.")
    return said or ["How the pairs came about is not known here."]
