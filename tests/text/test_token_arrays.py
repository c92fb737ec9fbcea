"""Windows of token arrays, of the proxy's tokenizer and of another."""

from pathlib import Path

import numpy as np
from conftest import opened
from sampling import BYTES, cut_visits
from text_files import TEXTS, TOKENS, ids_of, put

from chameleon.text.grid import WindowRecipe, lay_grid


def test_windows_of_the_proxys_own_tokens_are_the_arrays(tmp_path: Path) -> None:

    recipe = WindowRecipe(0, 50)
    for name, texts in TEXTS.items():
        put(tmp_path / "c" / f"{name}.bin", np.concatenate(ids_of(texts)).tobytes())
    corpus = opened(tmp_path / "c", proxy_tokenizer_digest="bytes", **TOKENS)
    for domain in corpus.domains:
        ids = np.concatenate(ids_of(TEXTS[domain.name]))
        grid = lay_grid(domain.text, BYTES, recipe)
        assert grid.amount(9) == (len(ids), 0)
        windows = cut_visits(grid, BYTES, recipe, 0, grid.num_visits)
        assert len(windows.tokens) == len(ids) // 50
        for row, position in zip(windows.tokens, windows.positions.tolist(), strict=True):
            assert row.tolist() == np.take(ids, range(position, position + 50), mode="wrap").tolist()
        begins = np.flatnonzero(np.append(256, ids[:-1]) == 256)
        assert set(windows.documents.tolist()) <= set(begins.tolist())


def test_tokens_of_another_tokenizer_are_decoded_with_a_notice(tmp_path: Path) -> None:

    recipe = WindowRecipe(0, 40)
    for name, texts in TEXTS.items():
        put(tmp_path / "c" / f"{name}.bin", np.concatenate(ids_of(texts)).tobytes())
    corpus = opened(tmp_path / "c", proxy_tokenizer_digest="another", **TOKENS)
    assert len(corpus.notices) == len(TEXTS)
    assert "decoded and encoded anew" in corpus.notices[0]
    domain = corpus.domains[0]
    ids = np.concatenate(ids_of(TEXTS[domain.name]))
    grid = lay_grid(domain.text, BYTES, recipe)
    windows = cut_visits(grid, BYTES, recipe, 0, 20)
    stream = [*ids.tolist(), *ids.tolist()]
    for row, position in zip(windows.tokens.tolist(), windows.positions.tolist(), strict=True):
        # A character that the position is within is left out.
        assert any(row == stream[position + cut : position + cut + 40] for cut in range(4))
