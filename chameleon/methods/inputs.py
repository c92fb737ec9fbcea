"""What methods that train models start from: packed text, and options checked before long work."""

from collections.abc import Sequence
from dataclasses import replace

from chameleon.common.command_line import Notify
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.methods.doge import DoGESettings
from chameleon.methods.options import MethodOptions
from chameleon.training.inputs import TrainingInputs, prepare_inputs
from chameleon.training.trainer_settings import check_options, count_processes

# Methods whose proxy takes rows of all domains in each step, in one process.
_BY_PROXY = {"doremi", "doge"}


def check_and_pack(
    methods: Sequence[str], options: MethodOptions, notify: Notify
) -> tuple[MethodOptions, TrainingInputs]:
    """Pack the corpus for methods that train models, and check their options before long work.

    Returns:
        The options, which now name the tokenizer, and the packed corpus.

    Raises:
        InputError: An option does not go with a method or the corpus, or the corpus cannot be read.
    """
    training = options.training
    by_proxy = not _BY_PROXY.isdisjoint(methods)
    if by_proxy and count_processes() > 1:
        raise InputError("doremi and doge train in one process; start them without torchrun")
    if by_proxy and training.gradient_accumulation_steps > 1:
        raise InputError(
            "--gradient_accumulation_steps does not go with doremi and doge, which weigh all rows of a step; "
            "lower --batch_size instead"
        )
    check_options(training, 1)
    inputs = prepare_inputs(replace(training, weights="uniform"), notify)
    names = tuple(domain.name for domain in inputs.packed)
    for name in options.target_domains or ():
        if name not in names:
            raise InputError(f"no domain {name} (--target_domains); the corpus has {listed(names, 20)}")
    if "doge" in methods:
        DoGESettings.of(options, names)
    if by_proxy and training.batch_size < len(names):
        raise InputError(
            f"a step of {training.batch_size} rows cannot hold one of each of {len(names)} domains; raise "
            "--batch_size"
        )
    return replace(options, training=replace(training, tokenizer=str(inputs.tokenizer_path))), inputs
