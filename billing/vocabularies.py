"""Vocabularies: how many tokens a text is, counted here and never over the network.

The encoding files ship in `encodings/` (see its README) and are read by us: tiktoken's own loader would
download a file that is missing, and delete one whose digest is wrong. A vocabulary is parsed on its first use
(o200k_base: 0.3 s, 0.1 s of them without letting another thread run), so `preload` before serving.
"""

import base64
import hashlib
import re
import threading
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import tiktoken

from billing import model_names

ENCODINGS = Path(__file__).parent / "encodings"
"""The folder of the files that ship."""

LONG_CHARACTERS = 16_384
"""From this length on, count in a thread: below, `count` takes about 1 ms (at most 15 ms for text made to be slow).
Encoding does not hold the interpreter, and no step of a long count holds it for more than some milliseconds."""

CURRENT = ("o200k_base", "cl100k_base")
"""The encodings of the models that OpenAI still serves."""

_FALLBACK = "o200k_base"
_FAMILIES = tuple(
    (re.compile(rf"(?:{'|'.join(families.split())})(?:[-:].*)?", re.DOTALL), encoding)
    for encoding, families in {
        # The tokeniser of gpt-6 is not published; that it is o200k_base is inferred from gpt-5.
        "o200k_base": r"""gpt-[56](?:\.\d+)? gpt-4o gpt-4\.[15] chatgpt chat-latest o[134]
            gpt-(?:realtime|audio|image|daybreak|oss) codex-mini computer-use""",
        # Answers of davinci-002 and babbage-002 say `davinci:2023-07-21-v2`.
        "cl100k_base": r"""gpt-4 gpt-3\.?5 text-embedding-(?:3|ada-002) (?:davinci|babbage)-002
            (?:davinci|babbage):2023""",
        "p50k_base": r"""text-davinci-00[23] (?:text|code)-davinci-edit code-(?:davinci|cushman)
            (?:davinci|cushman)-codex""",
        "r50k_base": r"(?:text-)?(?:davinci|curie|babbage|ada) (?:text|code)-(?:similarity|search) gpt-?2",
    }.items()
)
"""The first family that a base model's name begins with, and its encoding."""

_WINDOW, _SLACK = 49_152, 8_192
"""Characters before a cut is looked for, and within which. The window is a multiple of the longest tokens of
blanks (128) and of digits (3), so that even arbitrary cuts of such runs hardly change the count."""
_SEAM = re.compile(r"[A-Za-z0-9](?=[\x00-&(-/:-@\[-`{-\x7f])|\S(?= )")
"""A character after which every encoding's pattern begins a new piece, whatever surrounds it: an ASCII letter
or digit before any ASCII that is neither (nor an apostrophe), or anything visible before a space."""

_loading = threading.Lock()


def encoding_name(model: str) -> tuple[str, bool]:
    """The encoding of a model, in any spelling (fine-tuned too), and whether its family is known.

    A model of an unknown family is counted as o200k_base, False. tiktoken's own table is not asked: it takes
    `ft:gpt-4.1-…` for gpt-4, and knows no gpt-6 (0.14).
    """
    base = model_names.parse(model).base
    known = (encoding for family, encoding in _FAMILIES if family.fullmatch(base))
    encoding = next(known, None)
    return encoding or _FALLBACK, encoding is not None


def count(text: str, encoding: str) -> int:
    """How many tokens the API counts for a text: special tokens are ordinary text, lone surrogates U+FFFD.

    Fails on no text and takes time in proportion to its length: a long one is encoded in windows of some
    50,000 characters, cut where in every encoding a new piece begins anyway, so the count stays exact. Only
    where 8,192 characters have no such place (blanks, one endless word) is the cut arbitrary. Measured over
    runs of blanks, letters, digits and symbols, such a cut adds at most 4 tokens or takes away 1.

    Raises ValueError for a name of no encoding, RuntimeError where its file is missing or not the right one.
    """
    encoder = vocabulary(encoding)
    return sum(len(encoder.encode_ordinary(window)) for window in _windows(text))


def preload(encodings: Iterable[str] = CURRENT) -> None:
    """Load vocabularies at start-up, so that no count has to wait for one. Raises like `count`."""
    for encoding in encodings:
        vocabulary(encoding)


def vocabulary(encoding: str, folder: Path = ENCODINGS) -> tiktoken.Encoding:
    """The vocabulary of an encoding, loaded once, whatever thread asks first. Raises like `count`."""
    with _loading:
        return _load(encoding, folder)


@cache
def _load(encoding: str, folder: Path) -> tiktoken.Encoding:
    entry = _index().get(encoding)
    if entry is None:
        raise ValueError(f"no encoding {encoding!r}; there are {', '.join(_index())}")
    file = folder / entry["file"]
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RuntimeError(f"cannot read the {encoding} encoding, which ships with Farebox: {error}") from error
    if (digest := hashlib.sha256(content).hexdigest()) != entry["sha256"]:
        raise RuntimeError(f"{file} is not the {encoding} encoding: sha256 {digest}, not {entry['sha256']}")
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, content.splitlines())}
    return tiktoken.Encoding(encoding, pat_str="|".join(entry["pattern"]), mergeable_ranks=ranks, special_tokens={})


@cache
def _index() -> dict[str, dict[str, str]]:
    return tomllib.loads((ENCODINGS / "index.toml").read_text("utf-8"))


def _windows(text: str) -> Iterator[str]:
    """The text in parts too short to make tiktoken slow, or panic (as it does at a million blanks)."""
    start = 0
    while len(text) - start > _WINDOW + _SLACK:
        seam = _SEAM.search(text, start + _WINDOW, start + _WINDOW + _SLACK)
        end = seam.end() if seam else start + _WINDOW
        yield text[start:end]
        start = end
    yield text[start:]
