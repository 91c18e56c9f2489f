"""A model's chat format: a user's turn as a prompt, the same every day, that asks for the answer and not for thoughts.

Templates of the hub write today's date (Llama, gpt-oss, SmolLM3) or open a train of thought (Qwen3, DeepSeek-R1).
"""

import re
from dataclasses import dataclass
from datetime import datetime

from ..infra.errors import InputError

DATE = datetime(2024, 7, 26)  # the date that Llama's template falls back to
OFF = dict(enable_thinking=False, thinking=False, thinking_budget=0)  # Qwen3, GLM …; Granite, DeepSeek …; Seed-OSS
ON = dict(enable_thinking=True, thinking=True, thinking_budget=512)
PROBE = "a0message0of0the0user"
OPENED = r"<(?:\w+:)?think(?:ing)?>|\[THINK\]"
CLOSED = r"</(?:\w+:)?think(?:ing)?>|\[/THINK\]"
TURN = "<|start|>assistant"  # ends a prompt of gpt-oss, which then chooses a channel
FINAL = "<|channel|>final<|message|>"  # the one of answers
BRACKETED = r"<[^<>\s]+>|\[/?[A-Z_]+\]"
MARK = re.compile(r"<\|[^<>|\s]+\|>|<｜[^<>\s]+｜>|</?s>|\[/?(?:INST|SYS)\]|<(?:start|end)_of_turn>")
NONE = "no chat format: a message is asked as it is"


@dataclass(frozen=True)
class Turn:
    """A chat format that is known without its tokenizer; `ChatFormat` finds the same.

    Attributes:
        before, after: what stands around a message. marks: a pattern of what in a message would end or open a turn.
        notes: as `ChatFormat.notes`.
    """

    before: str
    after: str
    marks: str
    notes: tuple[str, ...] = ()

    def __call__(self, message: str) -> str:
        return f"{self.before}{re.sub(self.marks, broken, message)}{self.after}"


class ChatFormat:
    """The chat format of a tokenizer.

    Attributes:
        notes: what differs from the template's own default, or that there is none, a sentence each.
    """

    def __init__(self, name: str, tokenizer):
        self.name, self.tokenizer, self.source = name, tokenizer, tokenizer.chat_template
        self.notes: tuple[str, ...] = ()
        self._frame, self._ending, self._cut, self._in_parts, self._refusal = "", "", 0, False, None
        if self.source:
            try:
                self._look()
            except InputError as e:  # told when a turn is asked for: other prompts need no template
                self._refusal = e
        else:
            self.notes += (NONE,)
        self._marks = re.compile("|".join(map(re.escape, sorted(self._special(), key=len, reverse=True))) or r"(?!)")

    def __call__(self, message: str) -> str:
        """``message`` as a user's turn, up to where the model answers.

        Raises:
            InputError: a template that refuses a user's turn, or leaves its text out.
        """
        if self._refusal:
            raise self._refusal
        message = self._marks.sub(broken, message)  # a title must not end the turn
        if not self.source:
            return f"{message}\n"
        prompt = self._rendered(message)
        return prompt[: len(prompt) - self._cut] + self._ending

    def _look(self) -> None:
        """Find out, on a message of our own, how the template wants its content, and what had to be pinned."""
        if PROBE not in self._rendered(PROBE):  # some want a list of parts, and of a text show nothing
            self._in_parts = True
            if PROBE not in self._rendered(PROBE):
                raise InputError(f"{self.name}: the chat template leaves the user's message out; mend its template")
        self._frame = self._rendered(PROBE)
        if self._frame != self._rendered(PROBE, date=DATE.replace(year=2001, month=2, day=3)):
            self.notes += (f"the chat template's date is pinned to {DATE:%d %b %Y}",)
        tail = self._frame.rpartition(PROBE)[2]
        has_switch = self._frame != self._rendered(PROBE, switch=ON)
        self._ending = _ending(tail, "" if has_switch else self.tokenizer.get_chat_template())
        self._cut = len(tail) - len(tail.rstrip()) if self._ending.startswith("\n") else 0
        if self._ending or self._frame != self._rendered(PROBE, switch={}):
            self.notes += ("thinking is switched off",)

    def _rendered(self, message: str, date: datetime = DATE, switch: dict = OFF) -> str:
        content = [{"type": "text", "text": message}] if self._in_parts else message
        turn = [{"role": "user", "content": content}]
        try:
            template = _dated(self.tokenizer.get_chat_template(), date)
            return self.tokenizer.apply_chat_template(
                turn, chat_template=template, tokenize=False, add_generation_prompt=True, **switch
            )
        except Exception as e:  # a template is a program, and fails in its own way
            reason = (str(e).splitlines() or [type(e).__name__])[0]
            raise InputError(
                f"{self.name}: the chat template refuses a single turn of a user ({reason}); "
                f"mend the folder's chat_template.jinja, or delete it to ask without one"
            ) from e

    def _special(self) -> set[str]:
        """What ends or opens a turn: the tokenizer's control tokens, and what the template writes in brackets."""
        added = getattr(self.tokenizer, "added_tokens_decoder", {}).values()
        found = {t.content for t in added if t.special or re.fullmatch(BRACKETED, t.content)}
        found |= {*self.tokenizer.all_special_tokens, *re.findall(BRACKETED, self._frame.replace(PROBE, ""))}
        return found - {""}


def broken(mark: re.Match) -> str:
    """A control token's text with a blank in it, so that it is none any more."""
    return f"{mark[0][0]} {mark[0][1:]}"


def said(answer: str) -> str | None:
    """An answer without the thoughts before it; None where it holds nothing else."""
    *thoughts, last = re.split(CLOSED, answer)
    if thoughts:
        return last.lstrip()
    return None if re.match(rf"\s*(?:{OPENED})", answer) else answer


def _dated(template: str, date: datetime) -> str:
    """The template with a ``strftime_now`` of its own, which tells ``date``.

    A function can't be handed to a template, so it is a macro. The line break after it belongs to the macro (Jinja's
    ``trim_blocks``), so the template begins where it began.
    """
    if "strftime_now" not in template:
        return template
    told = "".join(f"|replace({d!r}, {date.strftime(d)!r})" for d in sorted(set(re.findall(r"%-?[a-zA-Z]", template))))
    return f"{{% macro strftime_now(format) %}}{{{{ format{told} }}}}{{% endmacro %}}\n{template}"


def _ending(tail: str, template: str) -> str:
    """What comes after a prompt, so that no thought does.

    Args:
        tail: what a prompt has after the message. template: of a model whose template has no switch.
    """
    if (opened := re.findall(OPENED, tail)) and not re.search(CLOSED, tail[tail.rindex(opened[-1]) :]):
        return f"\n\n{_close(opened[-1])}\n\n"
    if tail.endswith(TURN):
        return FINAL
    if (known := re.search(OPENED, template)) and not opened and not re.search(CLOSED, tail):  # it begins to unasked
        return f"{known[0]}\n\n{_close(known[0])}\n\n"
    return ""


def _close(tag: str) -> str:
    return f"{tag[0]}/{tag[1:]}"
