from __future__ import annotations

import pytest

from fusionapp.adapters.docstrings.names import NameEraser
from fusionapp.adapters.docstrings.prose import MAX_CHARACTERS, prose


@pytest.mark.parametrize(
    ("docstring", "kept"),
    [
        ("Sort a list.\n\n    The sort\n    is stable.\n    ", "Sort a list. The sort is stable."),
        ("Sort.\n\nParameters\n----------\nx : int\n    A number.\n\nMore.", "Sort."),
        ("Sort.\n\nArgs:\n    x: a number.\n\nMore.", "Sort."),
        ("Sort.\n\n:param x: a number.", "Sort."),
        ("Sort.\n@param x a number.", "Sort."),
        ("Sort.\n\n>>> sort([2, 1])\n[1, 2]\n\nIt is stable.", "Sort. It is stable."),
        ("Sort.\n\n.. deprecated:: 1.0\n   Use\n\n   other.\n\nStable.", "Sort. Stable."),
        ("Sort like this::\n\n    x.sort()\n\n    y.sort()\n\nStable.", "Sort like this: Stable."),
        ("Sort.\n\n    x.sort()\n\nStable.", "Sort. Stable."),
        ("Sort.\n\n```python\nx.sort()\n```\nStable.", "Sort. Stable."),
        ("Sort.\n\n+---+\n| a |\n+---+\n\nStable.", "Sort. Stable."),
        ("Sorting\n=======\n\nAll about it.", "All about it."),
        ("Either:\n\n- one that\n  goes on\n- two", "Either: one that goes on two"),
        ("Return *True* if **all** are.", "Return True if all are."),
        ("Use :class:`~a.B`, ``c`` or `d <https://x.y/z>`_ [1]_.", "Use a.B, c or d ."),
        ("See https://x.y/z?a=b for [more](http://x.y).", "See for more."),
        ("Compute :math:`x^2` of x.", "Compute of x."),
        ("", ""),
        ("\n\n", ""),
    ],
)
def test_only_sentences_are_kept(docstring: str, kept: str) -> None:
    assert prose(docstring) == kept


def test_long_prose_is_cut_after_a_sentence() -> None:
    text = prose("This is a sentence of eight words or so. " * 100)
    assert MAX_CHARACTERS - 50 < len(text) <= MAX_CHARACTERS
    assert text.endswith("so.")


def test_long_prose_without_a_sentence_is_cut_after_a_word() -> None:
    text = prose("word " * 1000)
    assert len(text) <= MAX_CHARACTERS
    assert text.endswith("word")


@pytest.mark.parametrize(
    ("package", "text", "left"),
    [
        ("torch", "A PyTorch tensor; torch.nn.Linear and torch_dtype.", "A tensor; and."),
        ("numpy", "NumPy's np.array and input", "and input"),
        ("ray", "Ray makes an array of rays.", "makes an array of."),
        ("sklearn", "Scikit-learn and scikit learn, not learning", "and, not learning"),
        ("sentence_transformers", "A SentenceTransformer or Sentence Transformers model", "A or model"),
        ("transformers", "The 🤗 Transformers library (Hugging Face)", "The 🤗 library"),
        ("sympy", "sp.Symbol spins", "spins"),
        ("PIL", "Pillow and PIL pile", "and pile"),
    ],
)
def test_a_packages_own_name_is_erased_in_every_guise(package: str, text: str, left: str) -> None:
    assert NameEraser.for_package(package).erase(text) == left


def test_an_areas_module_names_are_erased_as_whole_words_only() -> None:
    eraser = NameEraser.for_modules(["asyncio", "code", "_pyio"])
    assert eraser.erase("asyncio.run code decodes pyio") == "decodes"
