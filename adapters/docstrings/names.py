"""Taking a package's own name out of its texts, so that the label cannot be read off."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

ALIASES: Mapping[str, tuple[str, ...]] = {
    "PIL": ("pillow",),
    "_pytest": ("pytest",),
    "attr": ("attrs",),
    "bs4": ("beautiful soup",),
    "cv2": ("opencv",),
    "datasets": ("hugging face", "hf"),
    "huggingface_hub": ("hugging face", "hf", "hub"),
    "jinja2": ("jinja",),
    "matplotlib": ("plt", "mpl"),
    "networkx": ("nx",),
    "numpy": ("np",),
    "onnxruntime": ("ort", "onnx"),
    "pandas": ("pd",),
    "pyarrow": ("pa", "arrow"),
    "scipy": ("sp",),
    "sentence_transformers": ("sbert",),
    "sklearn": ("scikit learn", "scikit", "skl"),
    "sqlalchemy": ("sa",),
    "sympy": ("sp",),
    "tensorboard": ("tb",),
    "tensorflow": ("tf",),
    "transformers": ("hugging face", "hf"),
    "yaml": ("pyyaml",),
}
"""Other names that a package is known by; names that merely contain its name (PyTorch) need no entry."""

# A dotted, hyphenated or underscored name is one token: with `torch.nn.Linear` the whole path goes.
_TOKEN = re.compile(r"~?\w+(?:[.\-/]+\w+)*(?:['’]s\b)?")
_SUBSTRING_LENGTH = 5
_TIDY = tuple(
    (re.compile(pattern), into)
    for pattern, into in (
        (r"\(\s*\)|\[\s*\]", " "),
        (r"\s+", " "),
        (r"\s+([.,;:!?)])", r"\1"),
        (r"^[\s.,;:!?)\-]+", ""),
    )
)


@attrs.frozen
class NameEraser:
    """Takes names out of texts.

    Attributes:
        token: matches a token that holds a name.
        phrase: matches a name of several words.
    """

    token: re.Pattern[str]
    phrase: re.Pattern[str]

    @classmethod
    def for_package(cls, package: str) -> NameEraser:
        """Of a package: its name and aliases, singular and plural, in any case, and tokens that hold one.

        A name of fewer than five letters counts only between separators: `np.array`, not `input`.
        """
        return cls._of((package, *ALIASES.get(package, ())), _SUBSTRING_LENGTH)

    @classmethod
    def for_modules(cls, modules: Iterable[str]) -> NameEraser:
        """Of an area's modules; many are common words (`string`, `code`), so only whole words count."""
        return cls._of(tuple(module.lstrip("_") for module in modules), None)

    @classmethod
    def _of(cls, names: tuple[str, ...], substring_length: int | None) -> NameEraser:
        cores = [_core(name, substring_length) for name in names]
        phrases = [core for core in cores if "[" in core] or ["(?!)"]
        return cls(
            re.compile("|".join(cores), re.IGNORECASE),
            re.compile("|".join(rf"\w*(?:{phrase})\w*(?:[.\-/]\w+)*" for phrase in phrases), re.IGNORECASE),
        )

    def erase(self, text: str) -> str:
        """The text without the names, its spaces and punctuation closed up."""
        text = self.phrase.sub("", text)  # first, or "scikit learn" would leave its "learn"
        text = _TOKEN.sub(lambda token: "" if self.token.search(token[0]) else token[0], text)
        for pattern, into in _TIDY:
            text = pattern.sub(into, text)
        return text.strip()


def _core(name: str, substring_length: int | None) -> str:
    """A pattern for one name: words with any separator between, singular or plural."""
    words = re.split(r"[\s_\-]+", name.strip("_").lower())
    stem = words[-1].removesuffix("s") if len(words[-1]) > _SUBSTRING_LENGTH else words[-1]
    core = r"[\s_\-.]*".join([*map(re.escape, words[:-1]), re.escape(stem) + "s?"])
    if substring_length is not None and sum(map(len, words)) >= substring_length:
        return core
    return rf"(?<![a-z0-9]){core}(?![a-z0-9])"
