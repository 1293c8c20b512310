"""Any OpenAI-compatible server: pacing, faults told apart, the Batch API, and an answer cache across runs."""

from typing import TYPE_CHECKING

from factory.engine_blocks import OpenaiEngine
from factory.models.ref import ModelRef

if TYPE_CHECKING:
    from factory.engines.api.engine import OpenaiGenerator
    from factory.engines.api.served import ServedGenerator


def openai_generator(block: OpenaiEngine, model: ModelRef) -> "OpenaiGenerator | ServedGenerator":
    """The generator for a server that runs already, or for one that `block` says how to start."""
    if block.serve is None:
        from factory.engines.api.engine import OpenaiGenerator

        return OpenaiGenerator(block, model)
    from factory.engines.api.served import ServedGenerator

    return ServedGenerator(block, model)
