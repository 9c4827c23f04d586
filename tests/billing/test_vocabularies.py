"""Vocabularies: the shipped files, which model uses which, and counts that no text can break."""

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1, sha256
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from billing import vocabularies
from billing.vocabularies import ENCODINGS, count, encoding_name, preload, vocabulary

INDEX = tomllib.loads((ENCODINGS / "index.toml").read_text("utf-8"))
NAMES = sorted(INDEX)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tiktoken.Encoding]:
    """The encodings as tiktoken itself makes them of the same files."""
    cache = tmp_path_factory.mktemp("cache")
    for entry in INDEX.values():
        (cache / entry["file"]).symlink_to(ENCODINGS / entry["file"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        return {name: tiktoken.Encoding(**openai_public.ENCODING_CONSTRUCTORS[name]()) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_files_are_what_the_index_and_the_readme_say(name: str) -> None:
    entry = INDEX[name]
    content = (ENCODINGS / entry["file"]).read_bytes()
    assert entry["url"].endswith(f"/{name}.tiktoken")
    assert entry["file"] == sha1(entry["url"].encode()).hexdigest()
    assert (len(content), sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    row = f"| `{name}` | `{entry['file']}` | {entry['bytes']:,} | `{entry['sha256']}` |"
    assert row in (ENCODINGS / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-6.1-sol", ("o200k_base", True)),
        ("gpt-6-astra", ("o200k_base", True)),
        ("gpt-5", ("o200k_base", True)),
        ("gpt-5.6-sol", ("o200k_base", True)),
        ("gpt-4o-2024-08-06", ("o200k_base", True)),
        ("gpt-4.1-mini", ("o200k_base", True)),
        ("gpt-4.5-preview", ("o200k_base", True)),
        ("chatgpt-4o-latest", ("o200k_base", True)),
        ("chat-latest", ("o200k_base", True)),
        ("o1", ("o200k_base", True)),
        ("o3-mini", ("o200k_base", True)),
        ("o4-mini-2025-04-16", ("o200k_base", True)),
        ("gpt-realtime-2.1", ("o200k_base", True)),
        ("gpt-audio", ("o200k_base", True)),
        ("gpt-image-1", ("o200k_base", True)),
        ("gpt-4", ("cl100k_base", True)),
        ("gpt-4-turbo-2024-04-09", ("cl100k_base", True)),
        ("gpt-3.5-turbo-instruct:20230824-v2", ("cl100k_base", True)),
        ("gpt-35-turbo", ("cl100k_base", True)),
        ("text-embedding-3-small", ("cl100k_base", True)),
        ("text-embedding-ada-002-v2", ("cl100k_base", True)),
        ("davinci-002", ("cl100k_base", True)),
        ("davinci:2023-07-21-v2", ("cl100k_base", True)),
        ("text-davinci-003", ("p50k_base", True)),
        ("code-cushman-001", ("p50k_base", True)),
        ("davinci", ("r50k_base", True)),
        ("text-curie-001", ("r50k_base", True)),
        ("text-search-ada-doc-001", ("r50k_base", True)),
        # Fine-tuned models are their base's.
        ("ft:gpt-4.1-2025-04-14:acme::AbC123", ("o200k_base", True)),
        ("ft:gpt-4o-mini-2024-07-18:acme:x:AbC:ckpt-step-9", ("o200k_base", True)),
        ("ft:o4-mini:acme::1", ("o200k_base", True)),
        ("ft:gpt-3.5-turbo-0125:acme::1", ("cl100k_base", True)),
        ("davinci:ft-acme-2023-01-02-03-04-05", ("r50k_base", True)),
        ("gpt-4o-mini-2024-07-18.ft-0123", ("o200k_base", True)),
        # What only begins like a family is none of it.
        ("gpt-4.7", ("o200k_base", False)),
        ("gpt-4x", ("o200k_base", False)),
        ("adaptive", ("o200k_base", False)),
        ("muse-spark-1.1", ("o200k_base", False)),
        ("", ("o200k_base", False)),
        ("\ud800\n", ("o200k_base", False)),
    ],
)
def test_the_encoding_of_a_model(model: str, expected: tuple[str, bool]) -> None:
    assert encoding_name(model) == expected


@pytest.mark.parametrize(
    ("text", "r50k", "p50k", "cl100k", "o200k"),
    [  # The first three rows: OpenAI's cookbook, "How to count tokens with tiktoken".
        ("antidisestablishmentarianism", 5, 5, 6, 6),
        ("2 + 2 = 4", 5, 5, 7, 7),
        ("お誕生日おめでとう", 14, 14, 9, 8),
        ("", 0, 0, 0, 0),
        ("hello world", 2, 2, 2, 2),
        ("<|endoftext|>", 7, 7, 7, 7),  # as users write it, it is no special token
        ("\0", 1, 1, 1, 1),
        ("\ud800", 1, 1, 1, 1),  # a lone surrogate is sent as U+FFFD
    ],
)
def test_known_counts(text: str, r50k: int, p50k: int, cl100k: int, o200k: int) -> None:
    expected = {"r50k_base": r50k, "p50k_base": p50k, "cl100k_base": cl100k, "o200k_base": o200k}
    assert {name: count(text, name) for name in NAMES} == expected


@given(text=st.text(st.characters(codec=None)), name=st.sampled_from(NAMES))
def test_a_text_counts_as_in_tiktoken(theirs: Mapping[str, tiktoken.Encoding], text: str, name: str) -> None:
    assert count(text, name) == len(theirs[name].encode_ordinary(text))


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.text(min_size=1), min_size=1, max_size=20), name=st.sampled_from(NAMES))
def test_a_long_text_is_cut_where_no_token_is(
    theirs: Mapping[str, tiktoken.Encoding], words: list[str], name: str
) -> None:
    text = "\t".join(f"{word}it's," for word in words)
    text = text * (120_000 // len(text) + 1)
    assert count(text, name) == len(theirs[name].encode_ordinary(text))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "unit", [" ", "\t", "\n", "\r\n", " \n", "a", "A", "7", "=", "_", "的", "😀", "\u0301", "\0", "\ud800"]
)
def test_one_endless_run_is_cut_with_little_harm(theirs: Mapping[str, tiktoken.Encoding], unit: str, name: str) -> None:
    text = unit * (200_000 // len(unit)) + "x"
    exact = len(theirs[name].encode_ordinary(text))
    cuts = len(text) // 49_152
    assert exact - cuts <= count(text, name) <= exact + 4 * cuts


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        pytest.param(" " * 2_000_000, "o200k_base", 2_000_000 // 128, id="blanks, where tiktoken panics"),
        pytest.param("\t " * 1_000_000 + "x", "o200k_base", None, id="tabs and blanks"),
        pytest.param(" " * 1_999_999 + "x", "cl100k_base", 2_000_000 // 128, id="blanks before a word"),
        pytest.param("\n" * 2_000_000, "cl100k_base", None, id="newlines"),
        pytest.param("a" * 3_000_000, "o200k_base", 3_000_000 // 8, id="one endless word"),
    ],
)
def test_millions_of_anything_can_be_counted(text: str, name: str, expected: int | None) -> None:
    counted = count(text, name)
    assert 0 < counted < len(text)
    assert expected is None or abs(counted - expected) <= 4 * (len(text) // 49_152)


def test_a_vocabulary_is_loaded_once_whoever_asks(tmp_path: Path) -> None:
    entry = INDEX["r50k_base"]
    (tmp_path / entry["file"]).symlink_to(ENCODINGS / entry["file"])
    with ThreadPoolExecutor(8) as threads:
        loaded = {id(encoding) for encoding in threads.map(lambda _: vocabulary("r50k_base", tmp_path), range(8))}
    assert len(loaded) == 1


def test_a_corrupt_file_is_named_and_left_alone(tmp_path: Path) -> None:
    entry = INDEX["o200k_base"]
    corrupt = tmp_path / entry["file"]
    corrupt.write_bytes((ENCODINGS / entry["file"]).read_bytes()[:-1])
    with pytest.raises(RuntimeError, match=rf"{entry['file']} is not the o200k_base encoding: sha256 "):
        vocabulary("o200k_base", tmp_path)
    assert corrupt.exists()


def test_a_missing_file_is_an_error_and_not_a_download(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot read the o200k_base encoding, which ships with Farebox"):
        vocabulary("o200k_base", tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_encoding_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no encoding 'o300k_base'; there are r50k_base"):
        count("text", "o300k_base")


def test_counting_opens_no_socket_and_needs_no_cache() -> None:
    program = """if True:
        import os, sys
        from pathlib import Path

        def forbid(event, arguments):
            if event.startswith("socket."):
                raise SystemExit(f"{event} {arguments}")

        sys.addaudithook(forbid)
        from billing import vocabularies
        before = dict(os.environ)
        vocabularies.preload(("o200k_base", "cl100k_base", "p50k_base", "r50k_base"))
        assert vocabularies.count("hello world", "r50k_base") == 2
        try:
            vocabularies.vocabulary("p50k_base", Path("nowhere"))
        except RuntimeError:
            print("missing", dict(os.environ) == before)
    """
    # An empty TIKTOKEN_CACHE_DIR makes tiktoken's own loader download, always.
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(vocabularies.__file__).parents[1],
        env={"TIKTOKEN_CACHE_DIR": "", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("missing True\n", "", 0)


def test_preloading_takes_the_names_it_is_given() -> None:
    with pytest.raises(ValueError, match="no encoding 'x'"):
        preload(["x"])
