"""The run's configuration: every key, its meaning and default. Unknown keys are errors."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from factory.config.engines import EngineBlock, TransformersEngine, engine_block
from factory.config.pairs import Pairs
from factory.config.prompts import Prompts

# Under its own name, as type checkers take no other import for one that is handed on.
from factory.config.training import METHODS as METHODS
from factory.config.training import Lora as Lora
from factory.config.training import Training as Training
from factory.strict import Strict

BUNDLED_MODEL = "bundled:smollm2-135m-instruct"


class Run(Strict):
    """The run as a whole."""

    dir: str = Field("runs/sso", min_length=1)
    """Run folder, relative to where the command is started."""
    seed: int = 42
    """Every draw (portion, feature, sampling, order of judging) derives from it."""
    iterations: int = Field(3, ge=1)
    """Rounds of generation and training; policy i makes iteration i+1."""
    report_to: list[str] = Field(default_factory=list)
    """tensorboard, wandb, trackio: told the numbers of each stage as it ends (rows, reasons, tokens, money, what each
    filter kept), and the steps of training where training.report_to is empty. TensorBoard's are in RUN/tracking."""
    max_cost: float | None = Field(None, gt=0)
    """Most money that the run may spend on policy, judges and audit, live and in batches, over kills and resumes.

    Money is set aside for each request as if its answer were the longest possible, so that the run stops before it
    could go over; what has arrived is kept, and a higher bound goes on from there. Needs prices."""


class Policy(Strict):
    """The model that is prompted, scored and trained."""

    model: str = Field(BUNDLED_MODEL, min_length=1)
    """Hub id, folder, or bundled:smollm2-135m-instruct."""
    system_role: Literal["auto", "fold"] = "auto"
    """fold: put system messages into the first user turn; auto: only where the chat template has no system role."""
    license: str | None = None
    """Licence of the model, for the dataset card."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless you say so here."""


class Principles(Strict):
    """Which contrastive principles steer the pairs."""

    set: str = "sso"
    """Name of a set in principles/, or the path of your own YAML."""
    source: Literal["set", "generated"] = "set"
    """generated: the policy writes both principles for each prompt; unreadable ones fall back to the set's."""
    features: Literal["one", "both"] = "one"
    """Of the features that the policy names for a prompt: one is drawn, or the principles of both are given at once."""
    beside: Literal["instead", "appended"] = "instead"
    """A feature with a probability of its own (Concision) takes the drawn one's place, or its principle is appended."""
    adjective: bool = False
    """Close the system messages with the adjective of their side, as in: In a word, let your reply be engaging."""


class Sampling(Strict):
    """How replies are sampled."""

    temperature: float = Field(0.7, ge=0)
    """0 is greedy."""
    top_p: float = Field(0.8, gt=0, le=1)
    """Nucleus mass."""
    max_new_tokens: int = Field(2048, ge=1)
    """Longest reply."""
    samples_per_view: int = Field(1, ge=1)
    """Replies drawn from each of x, x+ and x-; the i-th of each make the i-th pair. delta draws as many of each model;
    best_of_n and label_first make one pair of a prompt."""


class Judge(Strict):
    """A judge: a model asked which of two replies is better, in both orders."""

    name: str = Field(min_length=1)
    """How it is called in tables; also its model's name when `model` is not given."""
    model: str | None = None
    """Hub id, folder, bundled:…, or the name an API knows."""
    engine: EngineBlock | None = None
    """null: the run's own engine for a local or Hub model, openai for any other name."""
    template: str = "judge"
    """Name of a template in principles/templates, or the path of your own."""
    criterion: Literal["feature"] | None = None
    """feature: tell the judge which feature a pair was made for, and to weigh it above all, in a template of its own;
    pairs without a feature are judged as ever."""
    max_new_tokens: int = Field(16, ge=1)
    """Room for the answer."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    retries: int = Field(2, ge=0)
    """Further tries for an answer that could not be read."""
    frugal: bool = True
    """Ask only what the rule of judge_agrees still needs; off asks both orders of every pair."""
    full_share: float = Field(0.05, ge=0, le=1)
    """Share of pairs judged in full whatever the rule needs, so that flip rates are known."""
    kept_sample: int | None = Field(200, ge=0)
    """Kept pairs, drawn at random, that are judged in both orders at the end, so that their quality is known; null
    takes all, 0 none."""
    license: str | None = None
    """Licence or terms of the judge, for the dataset card."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        # Before validation pydantic hands on whatever was written: anything but a text or a mapping is its own to
        # refuse, with the key's name.
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, dict):
            value = dict(value)  # what is popped below is the caller's
            if "name" not in value and "model" in value:
                value["name"] = value["model"]
            # Put into the block while it is a mapping: a block that is built already is frozen.
            if "base_url" in value:
                engine = engine_block(value.get("engine") or "openai")
                value["engine"] = {**engine, "base_url": value.pop("base_url")}
        return value

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if self.criterion is not None and self.template != "judge":
            raise ValueError("criterion has a template of its own; leave template or criterion out")
        return self


class Mix(Strict):
    """Pairs of another file that an export is mixed with."""

    path: str
    """File, folder or Hub dataset id, in any layout that can be read."""
    share: float | None = Field(None, gt=0, lt=1)
    """Share of the mixed data set that comes from it; null takes all of it."""
    source: str | None = None
    """What `source` says where its rows say nothing; null: the file's name."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to column, where names do not say it: {prompt: query, chosen: good, rejected: bad}."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        """`PATH` or `PATH=SHARE`."""
        if not isinstance(value, str):
            return value
        # From the right, since a path may hold =; without a number behind it, it is part of the path.
        path, _, share = value.rpartition("=")
        try:
            return {"path": path, "share": float(share)} if path else {"path": value}
        except ValueError:
            return {"path": value}


class Export(Strict):
    """What leaves the run."""

    formats: list[str] = Field(default_factory=lambda: ["rm"])
    """Names in factory/exports/formats: rm, dpo, sso, llamafactory, axolotl, verl, kto, tpo, sdft, pairs."""
    test_share: float = Field(0.05, ge=0, lt=1)
    """Share of prompts held out as the test split."""
    shard_rows: int = Field(100_000, ge=1)
    """Most rows in one Parquet file."""
    one_per_prompt: bool | None = None
    """Keep one pair of each prompt, the one that helps the balance of lengths; null: in dpo alone, false: nowhere."""
    keep_system: bool = False
    """Keep a prompt's own system message as a message of its own in rm too, where rewardbench cannot read it."""
    license: str | None = None
    """Licence of the dataset, for the card's front matter."""
    language: list[str] = Field(default_factory=list)
    """Languages of the texts as ISO 639 codes, such as en, for the card's front matter; nothing guesses them."""
    mix: list[Mix] = Field(default_factory=list)
    """Other pairs to mix in, each as {path, share} or `PATH=SHARE`; doubles are dropped over all of them."""
    decontaminate: list[str] = Field(default_factory=list)
    """Prompt files of benchmarks; pairs, mixed in or not, that share text with one are dropped."""
    push_to_hub: str | None = None
    """USER/NAME of a Hub dataset to push to, when all else is done; takes a single format, and HF_TOKEN."""
    private: bool = False
    """Make that repository private."""


class Audit(Strict):
    """The audit that closes a run, when a judge is given."""

    judge: Judge | None = None
    """A judge that neither generated nor filtered the pairs."""
    sample: int | None = Field(500, ge=1)
    """Pairs to judge, stratified by iteration and feature; null judges all."""
    allow_self: bool = False
    """Allow a judge that generated or filtered the pairs."""


class Config(Strict):
    """A whole run."""

    # Blocks are frozen, so that all configurations may share the one that is a default; a list is made anew for each.
    run: Run = Run()
    prompts: Prompts
    policy: Policy = Policy()
    engine: EngineBlock = TransformersEngine()
    """What the policy runs on, told apart by `kind`; a text alone is the kind."""
    principles: Principles = Principles()
    pairs: Pairs = Pairs()
    sampling: Sampling = Sampling()
    training: Training = Training()
    filters: list[dict[str, Any]] | None = None
    """A list of {use: name, …}; null is the paper preset."""
    judges: list[Judge] = Field(default_factory=list)
    """Who votes on the pairs, where a filter needs votes; a text alone is a judge's name."""
    export: Export = Export()
    audit: Audit = Audit()

    @property
    def pairs_per_prompt(self) -> int:
        """How many pairs a prompt may become; some ways to make them choose one of all replies."""
        return 1 if self.pairs.maker in ("best_of_n", "label_first") else self.sampling.samples_per_view


class Answering(Strict):
    """What a policy's answers to prompts are asked with."""

    engine: EngineBlock = TransformersEngine()
    """What the policy runs on; a text alone is the kind."""
    sampling: Sampling = Sampling()


class FiltersConfig(Strict):
    """FILTERS.yaml: what `sso-factory filter` applies."""

    filters: list[dict[str, Any]]
    """A list of {use: name, …}, in the order they are applied."""
    judges: list[Judge] = Field(default_factory=list)
    """Who votes, where a filter needs votes."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to column, where names do not say it: {prompt: query, chosen: good, rejected: bad}."""
