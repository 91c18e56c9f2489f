"""What the lab's panels are built of, beside ipywidgets' own."""

from collections.abc import Callable, Sequence

import ipywidgets as w


def button(label: str, tip: str, pressed: Callable) -> w.Button:
    """A button as wide as its label, which calls ``pressed`` with itself."""
    made = w.Button(description=label, tooltip=tip, layout=w.Layout(width="auto"))
    made.on_click(pressed)
    return made


def refill(knob: w.Dropdown, names: Sequence) -> None:
    """Put ``names`` into a list. Its choice stays if it is among them; else it is the first of them."""
    if list(knob.options) == names:
        return
    before, knob.options = knob.value, names
    knob.value = before if before in names else next(iter(names), None)
