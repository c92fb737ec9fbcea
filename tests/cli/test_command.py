"""The real command, end to end."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from conftest import ROOT, SCRIPT, WORDS, Command, make_texts, refused, run_command, write_jsonl

from chameleon import DomainWeights, compute_weights
from chameleon.embeddings.store import read_embeddings
from chameleon.weights.sample import Sample

SCHEMA = json.loads((ROOT / "docs" / "weights.schema.json").read_text())


def weights_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(content, SCHEMA)
    return content


@pytest.fixture
def embedded(command: Command, stored_run: Path, tmp_path: Path) -> Command:
    """The command in a directory where it has run on the corpus."""
    shutil.copytree(stored_run, tmp_path, dirs_exist_ok=True)
    return command


def test_pretrain_writes_a_file_that_explains_itself(
    embedded: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    assert list(content["weights"]) == ["code", "cooking", "law"]
    assert content["mode"] == "pretrain"
    assert content["unit"] == "share of tokens"
    assert {f["windows"] for f in content["domains"].values()} == {12}
    assert {f["tokens"] for f in content["domains"].values()} == {12 * 32}
    used = content["settings"]
    assert (used["dataset"], used["checkpoint_path"]) == (str(corpus_directory), str(checkpoint))
    assert (used["seed"], used["sample_length"], used["num_samples"]) == (0, 32, 12)
    assert content["provenance"]["proxy"]["block"] == 2
    shares = [facts["natural_share"] for facts in content["domains"].values()]
    sizes = [facts["corpus_tokens"] for facts in content["domains"].values()]
    assert shares == pytest.approx([size / sum(sizes) for size in sizes])
    assert max(facts["corpus_tokens_standard_error"] for facts in content["domains"].values()) == 0
    # The weights are those of the stored windows.
    stored = {
        path.name.split("-")[0]: read_embeddings(path)
        for path in (tmp_path / "embeddings").glob("*.safetensors")
    }
    samples = {
        name: Sample.of(name, stored[name].embeddings, stored[name].documents, stored[name].available)
        for name in content["weights"]
    }
    again = compute_weights(samples, "pretrain")
    assert again.by_name() == pytest.approx(content["weights"], abs=1e-12)


def test_the_table_is_on_stdout_and_nothing_else(
    command: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    run = command(
        "--mode", "finetune", "--dataset", corpus_directory, "--checkpoint_path", checkpoint,
        "--num_samples", "4", "--sample_length", "32",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert all(line.startswith("note: ") for line in run.stderr.splitlines())
    for expected in ("to finetune on", "domain", "uniform", "law", "effective dimension", "lambda 0.1667"):
        assert expected in run.stdout
    assert "weights file         chameleon_weights_finetune.json" in run.stdout


def test_skipping_needs_neither_text_nor_proxy_nor_their_libraries(embedded: Command, tmp_path: Path) -> None:
    before = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    blocker = tmp_path / "blocked"
    for name in ("torch", "transformers", "datasets", "pyarrow", "tokenizers"):
        (blocker / name).mkdir(parents=True)
        (blocker / name / "__init__.py").write_text(f"raise RuntimeError('{name} was imported')")
    run = embedded("--skip_embedding_generation", "--output", "again.json", env={"PYTHONPATH": str(blocker)})
    assert run.returncode == 0, run.stderr
    after = weights_of(tmp_path / "again.json")
    assert {**after, "date": 0} == {**before, "date": 0}


def test_skipping_with_other_weight_settings(embedded: Command, tmp_path: Path) -> None:
    flags = ["--kernel", "linear", "--lambda_reg", "0.01", "--pt_temperature", "50", "--num_samples", "7"]
    run = embedded("--skip_embedding_generation", *flags)
    assert run.returncode == 0, run.stderr
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    used = content["settings"]
    assert (used["kernel"], used["lambda_reg"], used["temperature"]) == ("linear", 0.01, 50)
    assert used["num_samples"] == 7
    assert {facts["windows"] for facts in content["domains"].values()} == {7}


def test_skipping_with_some_of_the_domains(embedded: Command, tmp_path: Path) -> None:
    run = embedded("--skip_embedding_generation", "--domains", "law,code")
    assert run.returncode == 0, run.stderr
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    assert list(content["weights"]) == ["law", "code"]
    assert sum(facts["natural_share"] for facts in content["domains"].values()) == pytest.approx(1)
    refused(embedded("--skip_embedding_generation", "--domains", "law,wiki"), "no embeddings of domain wiki")
    refused(
        embedded("--skip_embedding_generation", "--domains", "law"), "at least 2 domains, --domains names"
    )


def test_what_a_manifest_says_of_domains_stands_in_table_and_file(
    command: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    domains: list[dict[str, Any]] = [
        {"name": "law", "sources": [str(corpus_directory / "law.jsonl")], "tokens": 3000, "weight": 0.3},
        {"name": "code", "sources": [str(corpus_directory / "code")], "tokens": 1000},
        {"name": "cooking", "sources": [str(corpus_directory / "cooking.jsonl")], "tokens": 1000},
    ]
    (tmp_path / "corpus.json").write_text(json.dumps({"domains": domains}))
    flags = ["--dataset", "corpus.json", "--checkpoint_path", checkpoint, "--num_samples", "4"]
    run = command(*flags, "--sample_length", "32")
    assert run.returncode == 0, run.stderr
    for skipped in (False, True):
        if skipped:
            run = command("--skip_embedding_generation")
        content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
        assert content["domains"]["law"]["natural_share"] == pytest.approx(0.6)
        assert content["domains"]["law"]["weight_in_use"] == 0.3
        assert "weight_in_use" not in content["domains"]["code"]
        table = {line.split()[0]: line.split()[3:5] for line in run.stdout.splitlines() if " x" in line}
        assert (table["law"], table["code"]) == (["0.6000", "0.3000"], ["0.2000", "-"])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--seed", "3"], "--seed 3 contradicts .* made with seed 0"),
        (["--sample_length", "16"], "--sample_length 16 contradicts .* made with sample_length 32"),
        (["--dataset", "other"], "--dataset other contradicts .* made with dataset"),
        (["--num_samples", "13"], "domain code has embeddings of 12 windows .* --num_samples is 13"),
        (["--embeddings_dir", "nowhere"], "no directory nowhere"),
    ],
)
def test_a_flag_that_contradicts_what_is_stored(embedded: Command, flags: list[str], expected: str) -> None:
    refused(embedded("--skip_embedding_generation", *flags), expected)


def test_a_dtype_that_contradicts_what_is_stored(embedded: Command, stored_run: Path) -> None:
    # Which one is stored is up to what this CPU has in hardware.
    weights = json.loads((stored_run / "chameleon_weights_pretrain.json").read_text())
    stored = weights["settings"]["dtype"]
    other = {"float32": "bfloat16", "bfloat16": "float32"}[stored]
    refused(
        embedded("--skip_embedding_generation", "--dtype", other),
        f"--dtype {other} contradicts .* made with dtype {stored}",
    )


def test_several_stored_sets_are_told_apart_by_flags(
    embedded: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    common = ["--dataset", corpus_directory, "--checkpoint_path", checkpoint, "--sample_length", "32"]
    assert embedded(*common, "--seed", "1", "--num_samples", "3").returncode == 0
    refused(
        embedded("--skip_embedding_generation"), "2 sets of embeddings .*: --seed [01]; --seed [01]; name one"
    )
    run = embedded("--skip_embedding_generation", "--seed", "1", "--output", "-")
    assert json.loads(run.stdout)["settings"]["seed"] == 1


def test_a_domain_that_comes_is_all_that_is_embedded(
    embedded: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "embeddings").glob("*.safetensors")}
    shutil.copytree(corpus_directory, tmp_path / "grown")
    write_jsonl(tmp_path / "grown" / "new.jsonl", make_texts(WORDS["law"], 9))
    run = embedded(
        "--dataset", "grown", "--checkpoint_path", checkpoint, "--num_samples", "12", "--sample_length", "32"
    )
    assert run.returncode == 0, run.stderr
    assert {path: path.stat().st_mtime_ns for path in stored} == stored
    assert len(list((tmp_path / "embeddings").glob("*.safetensors"))) == len(stored) + 1


def test_output_to_stdout_is_json_alone(embedded: Command) -> None:
    run = embedded("--skip_embedding_generation", "--output", "-")
    jsonschema.validate(json.loads(run.stdout), SCHEMA)
    assert "effective dimension" in run.stderr


def test_two_domains_are_said_to_weigh_the_same(
    command: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("law", "cooking"):
        (tmp_path / "two").mkdir(exist_ok=True)
        shutil.copy(corpus_directory / f"{name}.jsonl", tmp_path / "two")
    run = command(
        "--dataset", "two", "--checkpoint_path", checkpoint, "--num_samples", "4", "--sample_length", "32"
    )
    assert run.returncode == 0, run.stderr
    assert "note: two domains always weigh the same" in run.stderr
    content = weights_of(tmp_path / "chameleon_weights_pretrain.json")
    assert list(content["weights"].values()) == pytest.approx([0.5, 0.5], abs=1e-12)
    assert any("two domains always weigh the same" in notice for notice in content["notices"])


def test_a_relative_name_is_the_corpus_of_the_directory_in_which_it_was_used(
    command: Command, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    flags: list[str | Path] = ["--checkpoint_path", checkpoint, "--num_samples", "4", "--sample_length", "32"]
    shared: list[str | Path] = ["--embeddings_dir", tmp_path / "shared"]
    for place in ("a", "b"):
        shutil.copytree(corpus_directory, tmp_path / place / "corpus")
    write_jsonl(tmp_path / "b" / "corpus" / "law.jsonl", make_texts(WORDS["law"], 9))
    runs = {p: partial(run_command, tmp_path / p, "--dataset", "corpus", *shared) for p in ("a", "b")}
    for run in runs.values():
        assert run(*flags, "--output", "made.json").returncode == 0
    for place, run in runs.items():
        skipped = run("--skip_embedding_generation", "--output", "skipped.json")
        assert skipped.returncode == 0
        assert "earlier states" not in skipped.stderr
        made, again = (weights_of(tmp_path / place / f"{name}.json") for name in ("made", "skipped"))
        assert made["weights"] == again["weights"]
    # Another spelling of the same place is the same corpus.
    for spelling in (tmp_path / "a" / "corpus", "../a/corpus/", "./corpus"):
        spelt = run_command(tmp_path / "a", "--dataset", spelling, *shared, *flags)
        assert spelt.returncode == 0, spelt.stderr
    skipped = runs["a"]("--skip_embedding_generation")
    assert skipped.returncode == 0
    assert "earlier states" not in skipped.stderr


def test_a_directory_called_embeddings_is_not_in_the_way(
    embedded: Command, corpus_directory: Path, checkpoint: Path
) -> None:
    flags = ["--checkpoint_path", checkpoint, "--num_samples", "2", "--sample_length", "32"]
    run = embedded("--dataset", corpus_directory, *flags, "--embeddings_dir", ".")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "table", "told"),
    [
        (">&-", 0, False, ""),
        ("2>&-", 0, True, ""),
        (">&- 2>&-", 0, False, ""),
        (
            ">/dev/full",
            2,
            False,
            "stdout cannot be written: No space left on device",
        ),
        ("--output - >&-", 2, False, "stdout is closed; name a file"),
        ("--output - >/dev/full", 2, False, "cannot write the result to stdout: No space left on device"),
        ("2>/dev/full", 0, True, ""),
    ],
)
def test_streams_that_are_closed_or_full(
    embedded: Command, tmp_path: Path, redirection: str, code: int, table: bool, told: str
) -> None:
    (tmp_path / "chameleon_weights_pretrain.json").unlink()
    line = f"{sys.executable} {SCRIPT} --skip_embedding_generation {redirection}"
    run = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert told in run.stderr
    told_besides = [line for line in run.stderr.splitlines() if not line.startswith("note: ")]
    assert len(told_besides) == (1 if told else 0)
    assert ("effective dimension" in run.stdout) == table
    assert (tmp_path / "chameleon_weights_pretrain.json").exists() == ("--output" not in redirection)


def test_a_reader_that_leaves_does_not_keep_the_weights_from_being_written(
    embedded: Command, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "embeddings")
    run = f"{sys.executable} {SCRIPT} --embeddings_dir p --skip_embedding_generation"
    line = f"({run} 2>&1; echo $? >code) | true"
    (tmp_path / "p").mkdir()
    for name, row in zip("abc", np.eye(3, dtype=np.float32), strict=True):
        torch.save(torch.from_numpy(np.stack([row, 2 * row])), tmp_path / "p" / f"{name}_embeddings.pt")
    (tmp_path / "chameleon_weights_pretrain.json").unlink()
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "code").read_text() == "0\n"  # though its note found no reader
    assert weights_of(tmp_path / "chameleon_weights_pretrain.json")["notices"]


def test_names_that_the_terminal_cannot_show_are_escaped_and_json_is_utf8(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    for i, name in enumerate(("法律", "code", "é")):
        write_jsonl(tmp_path / "corpus" / f"{name}.jsonl", make_texts(list(WORDS.values())[i], i))
    flags = [
        "--dataset",
        "corpus",
        "--checkpoint_path",
        checkpoint,
        "--num_samples",
        "2",
        "--sample_length",
        "32",
    ]
    run = command(*flags, env={"PYTHONIOENCODING": "ascii"})
    assert run.returncode == 0, run.stderr
    assert "\\u6cd5\\u5f8b" in run.stdout
    line = [sys.executable, str(SCRIPT), "--skip_embedding_generation", "--output", "-"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    raw = subprocess.run(line, cwd=tmp_path, capture_output=True, check=True, env=environment)
    assert set(json.loads(raw.stdout.decode())["weights"]) == {"法律", "code", "é"}


def test_embeddings_of_the_published_code_are_read(command: Command, tmp_path: Path) -> None:
    import torch

    directory = tmp_path / "published"
    directory.mkdir()
    means = np.load(ROOT / "tests" / "data" / "domain_means.npy")
    reference = json.loads((ROOT / "tests" / "data" / "released_formula.json").read_text())
    for name, mean in zip(reference["domains"], means, strict=True):
        torch.save(torch.from_numpy(np.stack([mean, mean])), directory / f"{name}_embeddings.pt")
    run = command(
        "--skip_embedding_generation", "--embeddings_dir", directory, "--recipe", "released", "--output", "-"
    )
    assert run.returncode == 0, run.stderr
    content = json.loads(run.stdout)
    jsonschema.validate(content, SCHEMA)
    expected = next(each for each in reference["results"] if each["lambda_reg"] == 10.0)
    assert list(content["weights"].values()) == pytest.approx(expected["pretrain_t5"], abs=1e-5)
    assert content["domains"]["cc"]["windows"] == 1  # the exact duplicate is left out


def test_a_published_file_with_code_in_it_is_not_run(command: Command, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, (f"open({str(tmp_path / 'pwned')!r}, 'w')",))

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a_embeddings.pt").write_bytes(pickle.dumps(Evil()))
    refused(
        command("--skip_embedding_generation", "--embeddings_dir", "p"),
        "a_embeddings.pt holds no plain tensor",
    )
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_windows(
    sent: signal.Signals, code: int, corpus_directory: Path, checkpoint: Path, tmp_path: Path
) -> None:
    flags = ["--dataset", corpus_directory, "--checkpoint_path", checkpoint, "--sample_length", "32"]
    flags += ["--num_samples", "100000", "--embedding_batch_size", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(SCRIPT), *map(str, flags)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "embedding\n"
        process.send_signal(sent)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert ("interrupted; windows embedded so far are kept" in errors) == (sent == signal.SIGINT)
    kept = [len(read_embeddings(path)) for path in (tmp_path / "embeddings").glob("*.safetensors")]
    assert sum(kept) >= 16


# The command, slowed down and telling when it has embedded its first windows.
INTERRUPTED = """
import runpy, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
from chameleon.proxy.model import Proxy
real, count = Proxy.embed, []
def slow(self, tokens, lengths):
    count.append(1)
    if len(count) == 20:
        print("embedding", flush=True)
        time.sleep(600)
    return real(self, tokens, lengths)
Proxy.embed = slow
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_help_says_of_each_flag_when_to_change_it() -> None:
    run = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    entries = re.split(r"\n  (?=--)", run.stdout)[1:]
    assert len(entries) >= 20
    for entry in entries:
        text = " ".join(entry.split())
        assert "(default: " in text, text
        assert re.search(r"Change it|Raise it|Lower it|Give it|change it", text), text


def test_light_ways_load_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, contextlib, io, compute_chameleon_weights as script, chameleon\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    script.main(['--help'])\n"
        "assert 'numpy' not in sys.modules\n"
        "assert chameleon.compute_weights\n"
        "assert not {'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_garbage_is_looked_for_again_once_libraries_are_loaded() -> None:
    code = (
        "import gc, contextlib\n"
        "from chameleon.common.libraries import loading_libraries\n"
        "with contextlib.suppress(ImportError), loading_libraries():\n"
        "    assert not gc.isenabled()\n"
        "    import nonsense\n"
        "assert gc.isenabled()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_library_face_is_there() -> None:
    import chameleon

    for name in chameleon.__all__:
        assert getattr(chameleon, name).__doc__
    with pytest.raises(AttributeError, match="nonsense"):
        _ = chameleon.nonsense
    assert isinstance(compute_weights({"a": [0.0, 1], "b": [1.0, 0], "c": [3.0, 3]}), DomainWeights)


LAYERS: list[set[str]] = [
    {"errors", "options", "text", "permutation", "quiet", "long_tables", "cores", "proxy_identity"},
    {"command_line", "argument_types", "training.options", "evaluation.options", "training.mixture"},
    {
        "shared_flags",
        "change_flags",
        "engine_flags",
        "weight_flags",
        "export_flags",
        "files",
        "affinity",
        "leverage",
        "domain_weights",
        "stretches",
        "devices",
        "proxy_tokenizer",
        "many.memory",
    },
    {"weights", "sample", "store", "corpora", "checkpoints", "footer", "grid", "bpe", "many.found"},
    {"formula", "domains", "facts", "splitting", "budget", "table", "piece_files", "proxy"},
    {"pieces", "many.exact", "many.features", "many.linear", "many.on_gpu", "many.pairs", "many.windows"},
    {"confidence.influence", "confidence.plane", "confidence.kept", "confidence.sensitivity"},
    {"many.alike", "many.fourier"},
    {"confidence.replicates", "confidence.cautions", "report.content", "many.approximate"},
    {"many.errors", "many.solve"},
    {"compute"},
    {"confidence.rounds"},
    {"confidence.verdict"},
    {"training.weighting", "training.arguments", "training.packed", "training.pictures", "training.flags"},
    {"reuse", "windows", "reading", "training.models", "training.outcome", "training.parts", "judging"},
    {"embedder", "embedding_plan", "training.packer", "training.trainer", "evaluation.losses"},
    {"cutting", "standin", "training.record", "training.packing", "evaluation.result"},
    {"embedding", "opening"},
    {"loading"},
    {"engines"},
    {"embedding_sources"},
    {"embedding_stage", "training.ground", "evaluation.report"},
    {"training.plan"},
    {"training.objective"},
    {"changes", "variants", "hierarchy", "training.run", "training.table", "evaluation.run"},
    {"nested_rounds"},
    {"pipeline"},
    {"report", "training.__main__", "evaluation.__main__", "export", "compare"},
    {"check"},
    {"rivals"},
]


def room_of(module: str) -> str:
    """The room of a module of the package: a package of its own counts module by module, but for some."""
    parts = module.removeprefix("chameleon.").split(".")
    is_one_room = parts[0] in ("corpora", "export", "engines", "rivals") or (
        parts[0] == "report" and parts[1:] != ["content"]
    )
    return parts[0] if is_one_room else ".".join(parts)


def test_imports_run_downward_only() -> None:
    level = {name: height for height, names in enumerate(LAYERS) for name in names}
    package = Path(str(resources.files("chameleon")))
    modules = {
        path: ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if path.name != "__init__.py" or path.parent.name == "corpora"
    }
    assert {room_of(module) for module in modules.values()} == set(level)
    for path, module in modules.items():
        room = room_of(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("chameleon."):
                continue
            target = room_of(str(node.module))
            if room not in {target, "options"}:  # options import names of types only
                same_level_values = {("affinity", "leverage"), ("files", "domain_weights")}
                allowed = level[target] < level[room] or (target, room) in same_level_values
                assert allowed, f"{path} imports {node.module}"
