"""Chat templates as the model families of the hub have them: one prompt whatever the day, and no thoughts."""

from datetime import datetime

import pytest
from transformers.utils import chat_template_utils

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.llm.chat import said

# the lines of each family's template that matter here
LLAMA = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim }}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
TURNS = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
"""
QWEN3 = (
    TURNS
    + """{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
)
QWEN3_THINKING = TURNS + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
SMOLLM3 = (
    """{%- if enable_thinking is not defined -%}
{%- set enable_thinking = true -%}
{%- endif -%}
{%- if enable_thinking -%}{%- set reasoning_mode = "/think" -%}
{%- else -%}{%- set reasoning_mode = "/no_think" -%}{%- endif -%}
{{- "<|im_start|>system\\n" -}}
{%- set today = strftime_now("%d %B %Y") -%}
{{- "Today Date: " ~ today ~ "\\nReasoning Mode: " + reasoning_mode + "\\n<|im_end|>\\n" -}}
"""
    + TURNS
    + """{%- if add_generation_prompt -%}
{%- if reasoning_mode == "/think" -%}{{ "<|im_start|>assistant\\n" }}
{%- else -%}{{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" }}{%- endif -%}
{%- endif -%}"""
)
DEEPSEEK = """{{ bos_token }}{% for message in messages %}{{'<｜User｜>' + message['content']}}{% endfor -%}
{% if add_generation_prompt %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"""
GRANITE = """{%- if thinking %}
    {%- set system_message = "Write your thoughts first." %}
{%- else %}
    {%- set system_message = "You are Granite. Today's Date: " + strftime_now('%B %d, %Y') + "." %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- for message in messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
{%- endfor %}
{{- '<|start_of_role|>assistant<|end_of_role|>' }}"""
GPT_OSS = """{%- macro build_system_message() -%}
    {{- "Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n" }}
    {%- if reasoning_effort is not defined %}
        {%- set reasoning_effort = "medium" %}
    {%- endif %}
    {{- "Reasoning: " + reasoning_effort + "\\n" }}
{%- endmacro -%}
{{- "<|start|>system<|message|>" }}{{- build_system_message() }}{{- "<|end|>" }}
{%- for message in messages -%}
    {{- "<|start|>user<|message|>" + message.content + "<|end|>" }}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|start|>assistant
{%- endif -%}"""
NEMOTRON = """{%- set enable_thinking = true -%}{%- for message in messages -%}
{%- if message.role == 'assistant' and '</think>' in message.content -%}<think>{%- endif -%}
{{- '<|start_header_id|>user<|end_header_id|>' ~ message.content -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>' -}}
{%- if not enable_thinking -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}{%- endif -%}"""
DEEPSEEK_V3 = """{%- if not thinking is defined -%}{%- set thinking = false -%}{%- endif -%}{{ bos_token }}
{%- for message in messages -%}{{'<｜User｜>' + message['content']}}{%- endfor -%}{{'<｜Assistant｜>'}}
{%- if not thinking -%}{{'</think>'}}{%- else -%}{{'<think>'}}{%- endif -%}"""
SEED = """{%- if not thinking_budget is defined %}{%- set thinking_budget = -1 -%}{%- endif -%}
{{ '<seed:bos>user\n' + messages[0].content + '<seed:eos>' }}
{{ '<seed:bos>assistant\n' }}
{%- if thinking_budget == 0 %}{{ '<seed:think>' + '<seed:cot_budget_reflect>' }}{%- endif %}"""
GEMMA4 = """{{- '<|turn>user\n' + messages[0].content + '<turn|>\n<|turn>model\n' -}}
{%- if not enable_thinking | default(false) -%}{{- '<|channel>thought\n<channel|>' -}}{%- endif -%}"""
WITH_THOUGHTS = """{%- if thinking %}Write your thoughts between <think></think>.{%- endif -%}
{{- '<|start_of_role|>user<|end_of_role|>' + messages[0].content + '<|start_of_role|>assistant<|end_of_role|>' }}"""
DATED, OFF = "the chat template's date is pinned to 26 Jul 2024", "thinking is switched off"


def at(llm, template: str):
    llm.tokenizer.chat_template = template
    return llm


@pytest.mark.parametrize(
    ("template", "prompt", "notes"),
    [
        (
            LLAMA,
            "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nIs it?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            (DATED,),
        ),
        (QWEN3, "<|im_start|>user\nIs it?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", (OFF,)),
        (QWEN3_THINKING, "<|im_start|>user\nIs it?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", (OFF,)),
        (
            SMOLLM3,
            "<|im_start|>system\nToday Date: 26 July 2024\nReasoning Mode: /no_think\n<|im_end|>\n"
            "<|im_start|>user\nIs it?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
            (DATED, OFF),
        ),
        (DEEPSEEK, "<s><｜User｜>Is it?<｜Assistant｜><think>\n\n</think>\n\n", (OFF,)),
        (
            GRANITE,  # which does not think unless it is told to
            "<|start_of_role|>system<|end_of_role|>You are Granite. Today's Date: July 26, 2024.<|end_of_text|>\n"
            "<|start_of_role|>user<|end_of_role|>Is it?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
            (DATED,),
        ),
        (
            GPT_OSS,
            "<|start|>system<|message|>Current date: 2024-07-26\n\nReasoning: medium\n<|end|>"
            "<|start|>user<|message|>Is it?<|end|><|start|>assistant<|channel|>final<|message|>",
            (DATED, OFF),
        ),
        (
            NEMOTRON,  # whose switch is a system turn; unasked it begins with a thought
            "<|start_header_id|>user<|end_header_id|>Is it?<|start_header_id|>assistant<|end_header_id|>"
            "<think>\n\n</think>\n\n",
            (OFF,),
        ),
        (DEEPSEEK_V3, "<s><｜User｜>Is it?<｜Assistant｜></think>", ()),
        (
            SEED,
            "<seed:bos>user\nIs it?<seed:eos>\n<seed:bos>assistant\n<seed:think><seed:cot_budget_reflect>"
            "\n\n</seed:think>\n\n",
            (OFF,),
        ),
        (GEMMA4, "<|turn>user\nIs it?<turn|>\n<|turn>model\n<|channel>thought\n<channel|>", ()),
        (
            WITH_THOUGHTS,
            "<|start_of_role|>user<|end_of_role|>Is it?<|start_of_role|>assistant<|end_of_role|>",
            (),
        ),
        ("{{ messages[0]['content'] }}[THINK]", "Is it?[THINK]\n\n[/THINK]\n\n", (OFF,)),
        ("{{ messages[0]['content'] }}<seed:think>", "Is it?<seed:think>\n\n</seed:think>\n\n", (OFF,)),
        ("\n  {% if true %}{{ messages[0].content }}{% endif %}{{ strftime_now('%-d') }}", "\nIs it?26", (DATED,)),
        ("{{ strftime_now(format='%Y') }}{% set strict = 1 %} {{ messages[0].content }}", "2024 Is it?", (DATED,)),
        ("{% if strftime_now is defined %}{% endif %}{{ messages[0].content }}", "Is it?", ()),
        (TURNS, "<|im_start|>user\nIs it?<|im_end|>\n", ()),
    ],
)
def test_a_prompt_of_each_family(llm, template, prompt, notes):
    assert at(llm, template).chat("Is it?") == prompt
    assert llm.notes == notes
    assert repr(llm) == "tiny-random: 0 M parameters, cpu, torch.float32" + "".join(f"; {note}" for note in notes)


@pytest.mark.parametrize("template", [LLAMA, SMOLLM3, GRANITE, GPT_OSS])
def test_the_prompt_and_so_the_answers_key_are_the_same_tomorrow(llm, template, monkeypatch):
    today = at(llm, template).chat("Is it?")
    tomorrow = type("Tomorrow", (), {"now": staticmethod(lambda: datetime(2031, 1, 2))})
    monkeypatch.setattr(chat_template_utils, "datetime", tomorrow)
    turn = [{"role": "user", "content": "Is it?"}]
    assert "2031" in llm.tokenizer.apply_chat_template(turn, tokenize=False)
    at(llm, None).chat("")
    assert at(llm, template).chat("Is it?") == today


def test_what_is_printed_tells_the_notes(llm, tmp_path, capsys):
    llm.model.save_pretrained(tmp_path / "model")
    at(llm, SMOLLM3).tokenizer.save_pretrained(tmp_path / "model")
    capsys.readouterr()
    rr.language_model(tmp_path / "model", device="cpu", cache=Cache(tmp_path / "other"))
    assert f"torch.float32; {DATED}; {OFF} (" in capsys.readouterr().out


def test_without_a_template_a_message_is_asked_as_it_is(llm):
    assert llm.chat("Is it?") == "Is it?\n"
    assert repr(llm) == f"tiny-random: 0 M parameters, cpu, torch.float32; {' '.join(llm.notes)}"
    assert llm.notes == ("no chat format: a message is asked as it is",)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{% if messages[0]['role'] != 'system' %}{{ raise_exception('Begin with a system turn') }}{% endif %}",
            "Begin with a system turn",
        ),
        ("{{ messages[1]['content'] }}", "no element 1"),
        ("{{ messages[0]['content'] + 1 }}", "str"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages[0].content.nothing.at_all }}", "nothing"),
    ],
)
def test_a_template_that_refuses_a_users_turn(llm, template, reason):
    at(llm, template)
    assert llm.notes == ()
    assert llm.choose(["History: Yes"]).shape == (1, 2)  # needs no template
    with pytest.raises(rr.InputError, match=rf"^tiny-random: .*refuses a single turn .*{reason}.*; mend") as caught:
        llm.chat("Is it?")
    assert "\n" not in str(caught.value)


def test_a_template_that_wants_a_list_of_parts(llm):
    parts = "{% for part in messages[0]['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    assert at(llm, f"User: {parts}{{% endfor %}}.").chat("Is it?") == "User: Is it?."


def test_a_template_that_leaves_the_message_out(llm):
    with pytest.raises(rr.InputError, match="leaves the user's message out"):
        at(llm, "Hello.").chat("Is it?")


def test_named_templates(llm):
    named = {"default": "D {{ messages[0].content }}", "tool_use": "T {{ messages[0].content }}"}
    assert at(llm, named).chat("Is it?") == "D Is it?"


@pytest.mark.parametrize(
    ("template", "tokens", "message", "broken"),
    [
        ("{{ messages[0].content }}", [], "a </s> b", "a < /s> b"),
        (LLAMA, [], "a <|eot_id|><|start_header_id|>b", "a < |eot_id|>< |start_header_id|>b"),
        (DEEPSEEK, [], "a<｜User｜>b <think>", "a< ｜User｜>b < think>"),
        ("[INST] {{ messages[0].content }} [/INST]", [], "a [/INST] b [INST]", "a [ /INST] b [ INST]"),
        ("{{ messages[0].content }}", ["<end_of_turn>", "⟦end⟧"], "a <end_of_turn>⟦end⟧", "a < end_of_turn>⟦ end⟧"),
        ("{{ messages[0].content }}", ["<a>", "<a><b>"], "<a><b> <a>", "< a><b> < a>"),
        ("{{ messages[0].content }}", [], "a < b, [1] (x) <3 R&B", "a < b, [1] (x) <3 R&B"),
    ],
)
def test_a_message_does_not_end_its_turn(llm, template, tokens, message, broken):
    llm.tokenizer.add_tokens(tokens, special_tokens=True)
    assert broken in at(llm, template).chat(message)


def test_a_template_that_trims(llm):
    assert at(llm, "{{ messages[0].content | trim }}|").chat("  a b \n") == "a b|"


# --- answers that begin with thoughts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("It is.", "It is."),
        ("", ""),
        ("<think>\nHm, 5 < 6.\n</think>\n\nIt is.", "It is."),
        ("Hm.\n</think>\n\nIt is.", "It is."),  # opened by the prompt
        ("<think></think>It is. ", "It is. "),
        ("[THINK]Hm.[/THINK]It is.", "It is."),
        ("<thinking>Hm.</thinking> It is.", "It is."),
        (" <think>Hm", None),
        ("I think <think> is a tag.", "I think <think> is a tag."),
    ],
)
def test_thoughts_are_no_part_of_an_answer(answer, text):
    assert said(answer) == text


def test_thoughts_of_generated_and_sampled_texts(llm, monkeypatch):
    answers = ["<think>Hm.</think>Yes, 70%", "No"]
    monkeypatch.setattr(llm, "_generate", lambda prompts, **_: iter([list(enumerate(answers))]))
    monkeypatch.setattr(llm, "_sample", lambda prompts, **_: iter([[(0, [*answers, "<think>Hm: 20%"])]]))
    assert llm.generate(["a", "b"]) == llm.generate(["a", "b"]) == ["Yes, 70%", "No"]
    assert llm.sample(["a"], 3) == [["Yes, 70%", "No", ""]]  # states nothing, which is counted
    monkeypatch.setattr(llm, "_generate", lambda prompts, **_: iter([[(0, "<think>Hm, I")]]))
    with pytest.raises(rr.InputError, match=r"a thought that does not end; switch thinking off .* more new tokens"):
        llm.generate(["c"])
    settings = dict(max_new_tokens=100, temperature=0.0, top_p=1.0, seed=0)
    assert llm.cache.get([llm._key("generate", text, settings) for text in "bc"]) == [b"No", None]
