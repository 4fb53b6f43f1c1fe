"""How a tool's prompt is written: an instruction, demonstrations, then the text.

The shape of Schick et al. 2023, Appendix A.2. It is the same for every text of a corpus up to
the last demonstration, so that part is encoded once.
"""

from graft.toolformer.tools.tool import Prompt

EXAMPLES = "Here are some examples of API calls:"


def render_prompt(prompt: Prompt) -> str:
    """All that stands before a text's own input, with the blank line that ends it."""
    shown = [f"{render_input(one.text)}{one.output}" for one in prompt.demonstrations]
    return "\n\n".join([f"{prompt.instruction}\n{EXAMPLES}", *shown]) + "\n\n"


def render_input(text: str) -> str:
    """The text as it is asked about; the model goes on with the same text again.

    Both stand at the start of a line, so the text has the same tokens in both places, and
    those that it has by itself.
    """
    return f"Input:\n{text}\nOutput:\n"
