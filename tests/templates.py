"""Chat templates of the shapes that models with thoughts and channels have, in miniature, and their control tokens."""

from typing import NamedTuple

from tests.tiny import CHATML, tiny_tokenizer


class Shape(NamedTuple):
    """A template, the control tokens it takes, and the one that ends a reply."""

    template: str
    special: tuple[str, ...]
    end: str


_THINKS_IN_HISTORY = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% set parts = m['content'].split('</think>') %}"
    "{{ '<think>\n' + (parts[0].split('<think>')[-1] if parts|length > 1 else '') + '\n</think>\n\n' }}"
    "{{ parts[-1].lstrip('\n') }}"
    "{% else %}{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
SHAPES = {
    "chatml": Shape(CHATML, (), "<|im_end|>"),
    # gpt-oss: replies stand in a channel, which the generation prompt leaves to the model.
    "channels": Shape(
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + "
        "m['content'] + ('<|return|>' if loop.last else '<|end|>') }}{% else %}"
        "{{ '<|start|>' + m['role'] + '<|message|>' + m['content'] + '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
        "<|return|>",
    ),
    # DeepSeek-R1: the generation prompt opens a thought, which is stripped from what is written.
    "opened thought": Shape(
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}"
        "{% elif m['role'] == 'system' %}{{ m['content'] }}{% else %}"
        "{{ '<|Assistant|>' + m['content'].split('</think>')[-1] + '<|eos|>' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}",
        ("<|User|>", "<|Assistant|>", "<|eos|>"),
        "<|eos|>",
    ),
    # GLM-4: a line end before each reply, and no end but the next user's turn.
    "no end": Shape(
        "[gMASK]<sop>{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
        ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>"),
        "<|user|>",
    ),
    # Qwen3: a thought, empty or not, before every reply.
    "kept thought": Shape(_THINKS_IN_HISTORY, (), "<|im_end|>"),
    "line end before the end": Shape(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '\n<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        (),
        "<|im_end|>",
    ),
    # Llama-2: spaces around a reply, which its tokenizer brings by itself.
    "spaces": Shape(
        "{% for m in messages %}{{ m['content'] + ' <|endoftext|>' if m['role'] == 'assistant' else "
        "'[Q] ' + m['content'] + ' [/Q]' + ('' if loop.last else ' ') }}{% endfor %}",
        (),
        "<|endoftext|>",
    ),
}


def tokenizer_of(name):
    """A tokenizer with the template of that shape."""
    tokenizer = tiny_tokenizer()
    shape = SHAPES[name]
    tokenizer.add_special_tokens({"additional_special_tokens": list(shape.special)})
    tokenizer.chat_template = shape.template
    return tokenizer
