"""What a training run has come to, as a table."""

from chameleon.table import shown_name
from chameleon.training.options import MANY_EPOCHS
from chameleon.training.outcome import Trained


def render_trained(trained: Trained) -> str:
    """Domains with the shares asked for and achieved, their tokens and epochs, and where the model is."""
    width = max(6, *(len(shown_name(name)) for name in trained.names))
    lines = [
        f"{'domain':<{width}}  weight  achieved           tokens  epochs",
    ]
    for i, name in enumerate(trained.names):
        flag = f"  repeated more than {MANY_EPOCHS} times" if trained.epochs[i] > MANY_EPOCHS else ""
        lines.append(
            f"{shown_name(name):<{width}}  {trained.weights[i]:6.4f}  {trained.shares[i]:8.4f}  "
            f"{trained.rows[i] * trained.sample_length:15,}  {trained.epochs[i]:6.2f}{flag}"
        )
    tokens = int(trained.rows.sum()) * trained.sample_length
    lines += [
        "",
        f"parameters   {trained.parameters / 1e6:.1f}M",
        f"trained      {trained.steps:,} steps, {tokens:,} tokens",
    ]
    if trained.loss is not None:
        lines.append(f"loss         {trained.loss:.3f} nats a token at the end (loss.csv, loss.png)")
    return "\n".join([*lines, f"model        {trained.directory}"])
