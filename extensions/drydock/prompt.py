"""A refusal at the prompt: broken into lines, in a place with room for them."""

from __future__ import annotations

from textwrap import fill

from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.filters import Always
from prompt_toolkit.layout import FormattedTextControl


def fit_the_prompt(question: str, sentence: str) -> str:
    """Break a refusal into lines of the terminal's width, where a prompt is on it.

    Copier's prompts show a refusal in one line and cut off the rest, which is what to answer
    instead; prompt_toolkit has no setting for that (`ValidationToolbar` has the height 1).

    Args:
        question: the one that is asked.
        sentence: why its answer is refused; "" for one that is not.

    Returns:
        The sentence; unchanged where nobody is asked.
    """
    app = get_app_or_none()
    if app is None or not sentence:
        return sentence
    for window in app.layout.find_all_windows():
        if window.height == 1 and isinstance(window.content, FormattedTextControl):
            window.height = None
            window.dont_extend_height = Always()
            window.wrap_lines = Always()  # for a word that is longer than a line
    # What Copier puts before the sentence.
    start = f"Validation error for question '{question}': "
    text = fill(start + sentence, app.output.get_size().columns, break_on_hyphens=False)
    return text.removeprefix(start) if text.startswith(start) else f"\n{sentence}"
