"""What several commands ask of a model that they run: its precision."""

from typing import Any

from chameleon.common.flags import flag


def dtype_flag(what: str) -> Any:  # noqa: ANN401
    """The field `dtype` of an options class.

    Args:
        what: What has that precision, such as "the proxy".
    """
    return flag(
        "auto",
        f"precision of {what} (default: auto, bfloat16 if the device has it in hardware). Use float32 to "
        "compare across machines",
        choices=("auto", "float32", "bfloat16"),
    )
