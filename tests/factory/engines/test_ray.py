"""The ray engine: the same answers as here, blocks in any order, lost nodes made good."""

from contextlib import closing

import pytest

ray = pytest.importorskip("ray")

from factory.config.apis import OpenaiEngine  # noqa: E402
from factory.config.engines import RayEngine, ScriptedEngine, TransformersEngine  # noqa: E402
from factory.engines.base import Reply, Request, ScoreRequest  # noqa: E402
from factory.engines.ray import RayModel  # noqa: E402
from factory.engines.scripted import ScriptedModel  # noqa: E402
from factory.errors import ConfigError, EngineError  # noqa: E402
from factory.models.ref import ModelRef  # noqa: E402
from tests.loopback import Loopback  # noqa: E402
from tests.tiny import tiny_model_folder  # noqa: E402

# Ray warns of its own options.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]
TOY = ModelRef("toy")


def asked(count):
    return [Request(f"r/{i}", [{"role": "user", "content": f"Question {i}?"}], 60, seed=i) for i in range(count)]


def by_id(answers):
    found = list(answers)
    assert len({answer.id for answer in found}) == len(found)
    return {answer.id: answer for answer in found}


def scripted(**values):
    return RayEngine(engine=ScriptedEngine(), **values)


def test_a_script_has_no_order_on_ray():
    with pytest.raises(ConfigError, match="Ray has none"):
        RayModel(RayEngine(engine=ScriptedEngine(script="answers.jsonl")), TOY)


@pytest.mark.integration
def test_answers_and_scores_are_those_of_the_inner_engine(tmp_path):
    turns = asked(1)[0].messages
    requests = [ScoreRequest(f"s/{i}", turns, (Reply(f"Reply {i}", True),)) for i in range(10)]
    local = ScriptedModel(ScriptedEngine(), TOY)
    with closing(RayModel(scripted(concurrency=2, num_cpus=0.5, block_size=8), TOY)) as engine:
        assert (engine.identity, engine.context_length) == (local.identity, local.context_length)
        assert engine.count_tokens([turns]) == local.count_tokens([turns])
        assert by_id(engine.generate(asked(50))) == by_id(local.generate(asked(50)))
        assert by_id(engine.score(requests)) == by_id(local.score(requests))
        assert list(engine.generate([])) == []

        ref = ModelRef(str(tiny_model_folder(tmp_path / "tiny")))
        inner = TransformersEngine(device="cpu", dtype="float32")
        tiny = RayModel(RayEngine(engine=inner, num_cpus=0.5, block_size=4), ref)
        from factory.engines.transformers import TransformersModel

        assert by_id(tiny.generate(asked(6))) == by_id(TransformersModel(inner, ref).generate(asked(6)))
        assert tiny.context_length == 512

        broken = RayModel(RayEngine(engine=inner, num_cpus=0.5), ref)
        broken._model = ModelRef("./nowhere")
        with pytest.raises(EngineError, match="there is no model folder"):
            list(broken.generate(asked(2)))
        with pytest.raises(EngineError, match="no node of the cluster has 1 CPUs and 8 GPUs"):
            RayModel(scripted(num_gpus=8), TOY)
        cannot = RayModel(RayEngine(engine=OpenaiEngine(base_url="http://127.0.0.1:9/v1")), TOY)
        with pytest.raises(EngineError, match="cannot score"):
            next(cannot.score(requests))
    assert not ray.is_initialized()


@pytest.mark.integration
def test_a_node_killed_in_the_middle_costs_its_blocks_only(monkeypatch):
    """The server counts what is asked: at most the blocks that one actor holds are asked again."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OPENAI_API_KEY", "none")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        with Loopback(latency=0.05) as server:
            inner = OpenaiEngine(base_url=server.base_url, max_concurrency=1)
            block = RayEngine(engine=inner, address=cluster.address, concurrency=2, block_size=5)
            with closing(RayModel(block, TOY)) as engine:
                found = []
                for answer in engine.generate(asked(120)):
                    found.append(answer)
                    if len(found) == 30:
                        cluster.remove_node(nodes[1], allow_graceful=False)
            again = len(server.asked) - 120
        assert by_id(found).keys() == {request.id for request in asked(120)}
        assert not any(answer.error for answer in found)
        assert 0 <= again <= 4 * block.block_size
    finally:
        cluster.shutdown()
