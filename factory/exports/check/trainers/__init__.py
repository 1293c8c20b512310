"""What trainers drop, cut or make identical before they train: how each reads a format, followed token by token."""

from factory.exports.check.trainers.base import Trainer
from factory.exports.check.trainers.llamafactory import PAIRWISE
from factory.exports.check.trainers.openrlhf import OPENRLHF_DPO, OPENRLHF_REWARD
from factory.exports.check.trainers.others import AXOLOTL, REWARDBENCH, VERL
from factory.exports.check.trainers.trl import TRL_DPO, TRL_REWARD

TRAINERS: tuple[Trainer, ...] = (
    *(TRL_REWARD, TRL_DPO, OPENRLHF_REWARD, OPENRLHF_DPO),
    *(REWARDBENCH, PAIRWISE, AXOLOTL, VERL),
)
"""Those whose preprocessing is known. A new one is a function and a member here."""
