"""The cut model against the whole one, for tiny random models of each family."""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import transformers
from conftest import make_checkpoint

from chameleon.common.errors import InputError
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.checkpoints import digest_of_checkpoint
from chameleon.proxy.model import Proxy, fuse_activations, load_proxy
from chameleon.proxy.tokenizer import ProxyTokens, load_tokenizer

VOCABULARY = 97
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 28,
    "patch_size": 14,
}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 6, "n_head": 4, "n_positions": 64}
GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
OPT = {
    name: SMALL[name]
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "pad_token_id")
}
OPT |= {"max_position_embeddings": 64, "ffn_dim": 48, "word_embed_proj_dim": 32}
GEMMA = SMALL | {"head_dim": 8}
GEMMA3N = GEMMA | {
    "num_hidden_layers": 6, "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 8, "laurel_rank": 4,
    "vocab_size_per_layer_input": VOCABULARY, "intermediate_size": 48,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", GPT2),
    "gpt_neox": ("GPTNeoXConfig", SMALL),
    "llama": ("LlamaConfig", SMALL),
    "qwen2": ("Qwen2Config", SMALL),
    "qwen3": ("Qwen3Config", GEMMA),
    "opt": ("OPTConfig", OPT),
    "mistral": ("MistralConfig", SMALL),
    "gemma": ("GemmaConfig", GEMMA),
    "gemma2": ("Gemma2Config", GEMMA),
    "gemma3_text": ("Gemma3TextConfig", GEMMA),
    "gpt_neox_japanese": ("GPTNeoXJapaneseConfig", SMALL),
    "openai-gpt": ("OpenAIGPTConfig", GPT2),
    "gemma3, with images": (
        "Gemma3Config",
        {
            "text_config": GEMMA,
            "vision_config": VISION,
            "mm_tokens_per_image": 1,
            "image_token_index": 96,
            "boi_token_index": 95,
            "eoi_token_index": 94,
        },
    ),
}

CANNOT_BE_CUT = ("gpt_neox_japanese",)


def save_model(directory: Path, model: Any) -> None:  # noqa: ANN401
    """Save a model whose norms are random and whose matrices are large, so that each part of it shows."""
    for name, parameter in model.named_parameters():
        if "norm" in name or "ln" in name:
            torch.nn.init.normal_(parameter, 1.0, 0.5)
        elif parameter.ndim == 2:
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    with quiet_transformers():
        model.save_pretrained(directory)


def random_model(config: Any) -> Any:  # noqa: ANN401
    """A causal LM of the configuration, ready to be run."""
    return getattr(transformers.AutoModelForCausalLM, "from_config")(config).eval()  # noqa: B009


def load(directory: Path) -> Proxy:
    return load_proxy(directory, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_pooled_state_is_that_of_the_whole_model_after_its_middle_block(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    name, settings = FAMILIES[family]
    config = getattr(transformers, name)(**settings)
    model = random_model(config)
    save_model(tmp_path, model)
    proxy = load(tmp_path)
    num_blocks = config.get_text_config().num_hidden_layers
    assert (proxy.block, proxy.num_blocks, proxy.context) == ((num_blocks + 1) // 2, num_blocks, 64)
    ids = torch.randint(3, 90, (3, 20))
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True).hidden_states[proxy.block]
    embedded = proxy.embed(ids.numpy().astype(np.int32), np.array([20, 20, 20]))
    torch.testing.assert_close(embedded, states.mean(dim=1), rtol=1e-5, atol=1e-6)
    if family in CANNOT_BE_CUT:
        return
    # Neither the upper blocks nor the head are there.
    held = sum(parameter.numel() for parameter in proxy.model.parameters())
    assert held < 0.8 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "opt", "gemma2"])
def test_padding_on_the_right_changes_nothing(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    name, settings = FAMILIES[family]
    config = getattr(transformers, name)(**settings)
    save_model(tmp_path, random_model(config))
    proxy = load(tmp_path)
    ids = np.random.default_rng(0).integers(3, 90, (2, 30)).astype(np.int32)
    padded = proxy.embed(ids, np.array([30, 11]))
    torch.testing.assert_close(padded[1:], proxy.embed(ids[1:, :11].copy(), np.array([11])))
    torch.testing.assert_close(padded[:1], proxy.embed(ids[:1].copy(), np.array([30])))


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_sees_what_follows_is_refused(tmp_path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=97, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=48
    )
    with quiet_transformers():
        transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "masked")
        transformers.BertModel(config).save_pretrained(tmp_path / "unnamed")
    with pytest.raises(InputError, match=r"expected a causal language model .* is a BertForMaskedLM"):
        load(tmp_path / "masked")
    with pytest.raises(InputError, match=r"expected a causal language model .* is a BertModel"):
        load(tmp_path / "unnamed")


def test_a_model_with_several_states_a_token_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, random_model(transformers.Gemma3nTextConfig(**GEMMA3N)))
    with pytest.raises(
        InputError, match=r"does not give one state of width 32 a token .* shape \(4, 2, 8, 32\)"
    ):
        load(tmp_path)


def test_an_encoder_with_decoder_is_refused(tmp_path: Path) -> None:
    transformers.T5Config().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is a t5"):
        load(tmp_path)


def test_weights_that_are_missing_are_not_made_up(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    lost = [name for name in tensors if "h.1.attn.c_attn.weight" in name]
    save_file(
        {name: each for name, each in tensors.items() if name not in lost},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(InputError, match=r"lacks 1 of the model's weights, h\.1\.attn\.c_attn\.weight"):
        load(tmp_path)


@pytest.mark.parametrize("cut", [100, 5000])
def test_damaged_weights_are_told_in_one_line(checkpoint: Path, tmp_path: Path, cut: int) -> None:
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="cannot load the model of") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_tokenizer_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(checkpoint / name, tmp_path / name)
    with pytest.raises(InputError, match="tokenizer"):
        load_tokenizer(tmp_path)


def test_the_digest_names_the_weights_and_not_their_place(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    assert load(checkpoint).digest == load(tmp_path / "copy").digest
    assert load(checkpoint).digest != load(make_checkpoint(tmp_path / "other", context=32)).digest
    proxy = load(tmp_path / "copy")
    weights = tmp_path / "copy" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load(tmp_path / "copy").digest != proxy.digest


def test_the_digest_of_a_tokenizer_names_its_words_and_its_end_of_text(
    checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    digests = [load_tokenizer(each).digest for each in (checkpoint, tmp_path / "copy")]
    path = tmp_path / "copy" / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"eos_token": "a"}))
    digests.append(load_tokenizer(tmp_path / "copy").digest)
    path.write_text(json.dumps({**config, "eos_token": None}))
    with pytest.raises(InputError, match=r"has no end-of-text token \(eos_token\)"):
        load_tokenizer(tmp_path / "copy")
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_of_a_checkpoint_s_files_needs_none_of_it_loaded(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    digest = digest_of_checkpoint(checkpoint)
    assert digest_of_checkpoint(checkpoint, load(checkpoint).digest) == digest
    (copy / "tokenizer").mkdir()
    (copy / "README.md").write_text("a proxy")
    assert digest_of_checkpoint(copy) == digest
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole + b" ")
        assert digest_of_checkpoint(copy) != digest, name
        (copy / name).write_bytes(whole)
    assert digest_of_checkpoint(copy) == digest
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(
        InputError, match=r"cannot read .*model.safetensors \(No such file.*fix the checkpoint"
    ):
        digest_of_checkpoint(copy)


def test_no_special_tokens_are_put_into_a_text(checkpoint: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    backend = load_tokenizer(tmp_path).tokenizer.backend_tokenizer
    plain = load_tokenizer(tmp_path).encode(["the court"])[0].ids.tolist()
    backend.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    backend.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).encode(["the court"])[0].ids.tolist() == plain


def test_the_fused_activation_is_the_same_function() -> None:
    from transformers.activations import NewGELUActivation

    module = torch.nn.ModuleDict({"act": NewGELUActivation(), "other": torch.nn.GELU()})
    x = torch.linspace(-8, 8, 10_001)
    before = {name: each(x) for name, each in module.items()}
    fuse_activations(module)
    assert not isinstance(module["act"], NewGELUActivation)
    for name, each in module.items():
        torch.testing.assert_close(each(x), before[name], rtol=1e-6, atol=1e-6)


def test_means_are_summed_in_float32_whatever_the_model_computes_in(checkpoint: Path) -> None:
    proxy = load_proxy(checkpoint, torch.device("cpu"), torch.bfloat16)
    ids = np.zeros((2, 64), dtype=np.int32)
    means = proxy.embed(ids, np.array([64, 9]))
    assert means.dtype == torch.float32
    states = proxy._states(torch.zeros(2, 64, dtype=torch.long)).float()
    expected = torch.stack([states[0].mean(dim=0), states[1, :9].mean(dim=0)])
    torch.testing.assert_close(means, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "stored",
    [{"truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}},
     {"padding": {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                  "pad_type_id": 0, "pad_token": "<|endoftext|>"}},
     {"post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                         "use_regex": True}}],
)  # fmt: skip
def test_what_a_tokenizer_was_trained_with_does_not_touch_windows(
    checkpoint: Path, tmp_path: Path, stored: dict[str, Any]
) -> None:
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | stored))
    texts = ["the court held  ", "   onion and butter   simmer\n"]
    plain, other = (load_tokenizer(each).encode(texts) for each in (checkpoint, tmp_path))
    for one, another in zip(plain, other, strict=True):
        assert one.ids.tolist() == another.ids.tolist()
        assert one.begins.tolist() == another.begins.tolist()


def test_tokens_between_characters_are_those_that_begin_there(checkpoint: Path) -> None:
    tokenizer = load_tokenizer(checkpoint)
    for text in ("the court held", "  é漢字 \n\n ü the\t", "\U0001f600\U0001f600 of", "", " "):
        (tokens,) = tokenizer.encode([text])
        for begin in range(len(text) + 1):
            for end in range(begin, len(text) + 2):
                first, last = np.searchsorted(tokens.begins, (begin, end))
                assert tokens.between(begin, end).tolist() == tokens.ids[first:last].tolist()


def test_tokens_without_characters_of_their_own_begin_where_they_stand() -> None:
    class Holding:
        """What the library gives for tokens of these offsets."""

        offsets: ClassVar = [(0, 0), (0, 1), (1, 1), (1, 1), (1, 3), (4, 5), (5, 5)]
        ids: ClassVar = list(range(7))

        def __len__(self) -> int:
            return len(self.ids)

        def char_to_token(self, at: int) -> int | None:
            return next((i for i, (begin, end) in enumerate(self.offsets) if begin <= at < end), None)

        def token_to_chars(self, token: int) -> tuple[int, int]:
            return self.offsets[token]

    holding: Any = Holding()
    tokens = ProxyTokens("abcde", holding)
    for begin in range(5):
        for end in range(begin, 5):
            first, last = np.searchsorted(tokens.begins, (begin, end))
            assert tokens.between(begin, end).tolist() == tokens.ids[first:last].tolist()


def test_the_digest_names_the_code_that_a_checkpoint_brings(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    digests = []
    for code in ("x = 1", "x = 3"):
        (tmp_path / "modeling.py").write_text(code)
        digests.append(load(tmp_path).digest)
    assert digests[0] != digests[1]


def edited(name: str, **changes: object) -> Any:  # noqa: ANN401
    def edit(directory: Path) -> None:
        content = json.loads((directory / name).read_text())
        (directory / name).write_text(json.dumps(content | changes))

    return edit


def replaced(name: str, content: bytes) -> Any:  # noqa: ANN401
    def replace(directory: Path) -> None:
        if name.endswith(".bin"):
            (directory / "model.safetensors").unlink()
        (directory / name).write_bytes(content)

    return replace


@pytest.mark.parametrize(
    "damage",
    [replaced("config.json", b"[]"), replaced("config.json", b"{"), edited("config.json", n_layer="three"),
     edited("config.json", n_layer=None), edited("config.json", n_layer=0), edited("config.json", n_head=0),
     edited("config.json", vocab_size=None), edited("config.json", activation_function="none such"),
     edited("config.json", n_embd=32), replaced("tokenizer.json", b"{}"), replaced("tokenizer.json", b"x"),
     replaced("tokenizer_config.json", b"[]"), replaced("pytorch_model.bin", b""),
     replaced("pytorch_model.bin", b"text and no more")],
)  # fmt: skip
def test_damaged_checkpoints_are_told_in_one_line(damage: Any, checkpoint: Path, tmp_path: Path) -> None:  # noqa: ANN401
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    damage(tmp_path)

    def load_both() -> None:
        load_tokenizer(tmp_path)
        load(tmp_path)

    with pytest.raises(InputError, match=f"{tmp_path}") as caught:
        load_both()
    assert "\n" not in str(caught.value)
    assert "report" not in str(caught.value)
