"""What the LLM is asked, on a processor that rounds otherwise; `drill.py` has notebooks and real data."""

from .drill import prompts


def test_another_processor_asks_the_same(tmp_path):
    assert prompts(tmp_path).endswith("the same here and without AVX")
