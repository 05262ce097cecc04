"""An encoder that torch cannot export is refused by its type before a text is encoded; one without int8 works in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2Model, LongformerConfig, LongformerModel, PreTrainedModel, T5Config, T5EncoderModel

from benchmarks.word_encoder import write_word_encoder
from fsat_tasks import FewShotClassifier, load_encoder
from fsat_tasks.errors import EncoderError
from task_folder import Row

Cli = Callable[..., tuple[int, str, str]]

WORDS = 100
"""Size of the vocabularies. The tokenizer has fewer words."""
REFUSED = r"encoder '{0}': expected a model of a type .* BERT, RoBERTa, .* or ModernBERT, got one of type '{0}'\. Choose another"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, PreTrainedModel], str]:
    """Put a model below FSAT_ENCODERS: write("t5", model) -> its name."""
    monkeypatch.setenv("FSAT_ENCODERS", str(tmp_path / "encoders"))

    def put(name: str, model: PreTrainedModel) -> str:
        write_word_encoder(tmp_path / "encoders" / name)
        model.save_pretrained(tmp_path / "encoders" / name, safe_serialization=True)
        return name

    return put


def t5() -> PreTrainedModel:
    return T5EncoderModel(T5Config(vocab_size=WORDS, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2))


def longformer() -> PreTrainedModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return LongformerModel(LongformerConfig(vocab_size=WORDS, **sizes, attention_window=8, max_position_embeddings=72))


@pytest.mark.parametrize("model", [t5, longformer], ids=lambda model: model.__name__)
def test_model_that_cannot_be_exported_is_one_error_that_names_its_type_and_those_that_work(
    model: Callable[[], PreTrainedModel],
    write: Callable[[str, PreTrainedModel], str],
    store_root: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = write(model.__name__, model())
    capfd.readouterr()
    with pytest.raises(EncoderError, match=REFUSED.format(name)) as caught:
        load_encoder(name, "cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # no pages of torch's


def test_refusal_comes_before_any_text_is_encoded(
    write: Callable[[str, PreTrainedModel], str], make_task: Callable[..., str], store_root: Path, toy_rows: list[Row], cli: Cli
) -> None:
    name = write("t5", t5())
    code, _, err = cli("run", make_task(toy_rows, encoder={"name": name}))
    assert (code, err.count("got one of type 't5'")) == (2, 1)
    assert not list(store_root.glob("rows-*"))
    with pytest.raises(EncoderError, match=REFUSED.format(name)):
        FewShotClassifier(encoder=name).fit([text for text, _ in toy_rows], [label for _, label in toy_rows])


def test_model_without_products_for_int8_is_served_in_fp32(
    write: Callable[[str, PreTrainedModel], str], make_task: Callable[..., str], store_root: Path, toy_rows: list[Row], cli: Cli
) -> None:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 2, "eos_token_id": 3}
    name = write("gpt2", GPT2Model(GPT2Config(vocab_size=WORDS, **sizes)))
    code, _, err = cli("run", make_task(toy_rows, encoder={"name": name}))
    assert code in (0, 3), err
    (variants,) = store_root.glob("export/*/*/variants.json")
    assert [variant["name"] for variant in json.loads(variants.read_text("utf-8"))] == ["fp32", "fp16"]
    code, _, err = cli("extract", make_task(toy_rows, encoder={"name": name, "precision": "int8"}))
    assert (code, "Use fp32." in err) == (2, True)
