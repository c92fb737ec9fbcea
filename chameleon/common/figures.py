"""The loss over a run as a picture."""


def plain(text: str) -> str:
    """Text as it stands, in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")
