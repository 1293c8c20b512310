"""Which arguments of transformers' Trainer are the user's, and what to set in place of the others.

Trainings of ours lay out their own batches, steps and losses, and have keys of their own for what decides the result.
An argument that would change it behind their back, or that they never look at, is refused by name. So is one that
nobody has looked at yet: a new one of transformers must be put into one of these tables first.
"""

from collections.abc import Mapping
from difflib import get_close_matches

_names = str.split
"""Of a text with white space between names, which one a line would fill the page."""
FREE = frozenset(
    _names("""
    adam_beta1 adam_beta2 adam_epsilon ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb
    ddp_find_unused_parameters ddp_static_graph ddp_timeout debug deepspeed disable_tqdm fsdp fsdp_config
    full_determinism log_level log_level_replica log_on_each_node lr_scheduler_kwargs optim optim_args
    optim_target_modules project run_name save_total_limit skip_memory_metrics tf32 torch_compile
    torch_compile_backend torch_compile_mode trackio_bucket_id trackio_space_id trackio_static_space_id use_cpu
    """)
)
"""The optimiser, where and on how many devices it runs, and what is told to whom: taken as they are."""

_KEYS = {
    "learning_rate": ("learning_rate",),
    "lr_scheduler": ("lr_scheduler_type",),
    "warmup_ratio": ("warmup_steps", "warmup_ratio"),
    "weight_decay": ("weight_decay",),
    "max_grad_norm": ("max_grad_norm",),
    "epochs": ("num_train_epochs",),
    "dtype": ("bf16", "fp16", "bf16_full_eval", "fp16_full_eval"),
    "gradient_checkpointing": (
        "activation_checkpointing",
        "activation_checkpointing_kwargs",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
    ),
    "report_to": ("report_to",),
    "save_steps": ("save_steps", "save_strategy"),
}
"""Keys of ours, and the arguments that each takes the place of."""
_SEED = "a seed is given to the run (run.seed) or the command (--seed)"
_STEPS = "the pairs of each step are laid out beforehand, from seed and pairs alone"
_EVAL = "nothing is evaluated during training"
_CHECKPOINTS = "checkpoints hold all that resuming takes, which goes on from the last one by itself"
_HUB = "a model is pushed to the Hub when it is done, by huggingface-cli upload"
_FAMILIES = {
    "do_": _EVAL,
    "eval_": _EVAL,
    "logging_": "metrics.jsonl has a line for each step",
    "hub_": _HUB,
    "dataloader_": _STEPS,
}
"""What to say to every argument whose name begins so, one that a later version brings included."""
_SENTENCES = {
    "output_dir": "the folder is given to the run (run.dir) or the command (--out)",
    "seed": _SEED,
    "data_seed": _SEED,
    "label_smoothing_factor": "the loss is the one that is named, and takes no smoothing",
    "average_tokens_across_devices": "the loss is a mean over pairs, on all devices alike",
    "auto_find_batch_size": "a step is the same pairs whatever fits into a pass",
    "use_cache": "training needs no cache of keys and values",
    "torch_empty_cache_steps": "no step looks at it",
    "accelerator_config": "it would accumulate or dispatch batches another way",
    "parallelism_config": "it cuts sequences apart, which a shared prompt does not allow",
    "include_num_input_tokens_seen": "metrics.jsonl has the tokens of each step",
    "push_to_hub": _HUB,
    "local_rank": "the launcher says which process this is",
    **dict.fromkeys(
        _names("""
        per_device_eval_batch_size prediction_loss_only include_for_metrics batch_eval_metrics
        load_best_model_at_end metric_for_best_model greater_is_better
        """),
        _EVAL,
    ),
    **dict.fromkeys(
        _names("""
        save_only_model save_on_each_node enable_jit_checkpoint ignore_data_skip
        restore_callback_states_from_checkpoint resume_from_checkpoint
        """),
        _CHECKPOINTS,
    ),
    **dict.fromkeys(("remove_unused_columns", "label_names", "train_sampling_strategy", "length_column_name"), _STEPS),
}
_LIGER = "it puts another forward pass in place of the one that scores replies"
_NOISE = "noise in the embeddings would be in the policy and not in its reference"

SHARED = {name: f"set {key} instead" for key, names in _KEYS.items() for name in names} | _SENTENCES
"""What to say to an argument of any Trainer that is no user's."""

POLICY = SHARED | {
    "per_device_train_batch_size": "set batch_pairs for the step, micro_batch_tokens for what goes through in one pass",
    "gradient_accumulation_steps": "set batch_pairs for the step, micro_batch_tokens for what goes through in one pass",
    "max_steps": "set epochs, or train on fewer pairs",
    "neftune_noise_alpha": _NOISE,
    "use_liger_kernel": _LIGER,
    "liger_kernel_config": _LIGER,
}
"""The same for the training of a policy."""

REWARD_FREE = FREE.union(
    _names("""
    activation_offloading disable_dropout liger_kernel_config neftune_noise_alpha pad_to_multiple_of
    use_liger_kernel
    """)
)
"""The user's in the training of a reward model, which TRL's own steps do."""
_MODEL = "the model that the command is given brings it"
REWARD = SHARED | {
    "per_device_train_batch_size": "set batch_pairs for the step, micro_batch_pairs for one pass",
    "gradient_accumulation_steps": "set batch_pairs for the step, micro_batch_pairs for one pass",
    "max_steps": "set max_steps of this block instead",
    "max_length": "set max_length of this block instead",
    "center_rewards_coefficient": "set center_rewards_coefficient of this block instead",
    "dataset_num_proc": _STEPS,
    **dict.fromkeys(("trust_remote_code", "model_init_kwargs", "chat_template_path", "pad_token", "eos_token"), _MODEL),
}
"""What to say to the others there."""


def refusal(name: str, instead: Mapping[str, str]) -> str | None:
    """What to say to an argument that is not passed on; None for one that neither a table nor a family knows."""
    return instead.get(name) or next((said for start, said in _FAMILIES.items() if name.startswith(start)), None)


def require_free(options: Mapping[str, object], free: frozenset[str], instead: Mapping[str, str]) -> None:
    """Raise ValueError, in one sentence, for the first of `options` that is not `free`: what to set `instead`."""
    for name in options:
        if name in free:
            continue
        if said := refusal(name, instead):
            raise ValueError(f"{name} is not passed on: {said}")
        near = get_close_matches(name, [*free, *instead], n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}?" if near else f"passed on are {', '.join(sorted(free))}"
        raise ValueError(f"{name} is not known to leave the training as this block describes it; {hint}")
