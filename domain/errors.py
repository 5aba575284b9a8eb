"""Everything that can go wrong, as one tree.

::

    FusionAppError
    ├── UsageError (ValueError)             what was asked for makes no sense            exit 2
    │   ├── ConfigurationError              every problem of an experiment, at once      exit 2
    │   └── DatasetError                    a file, a row or a column of the input       exit 2
    │       └── TextTooLongError            a text that is not to be cut                 exit 2
    ├── CorruptArtifactError (ValueError)   a stored file is not what was written        exit 3
    ├── LockedError (BlockingIOError)       another process writes there                 exit 4
    ├── UpstreamError (ConnectionError)     a hub or a service failed                    exit 6
    └── ResourceError (MemoryError)         memory or disk ran out                       exit 7
        └── WorkersLostError                whoever works on a shard dies or hangs       exit 7

A message names the value, the place and the way out. The exit codes live in `entrypoints/exit_codes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence


class FusionAppError(Exception):
    """Base of every error that fusionapp raises on purpose."""


class UsageError(FusionAppError, ValueError):
    """What was asked for makes no sense: a wrong option, a missing file, an impossible combination."""


class ConfigurationError(UsageError):
    """An experiment with problems, all of them reported at once.

    Attributes:
        problems: one line each, starting with the key's path (``train.learning_rate: expected a number``).
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class DatasetError(UsageError):
    """The input cannot be read as asked; the message names file, row and column."""


class TextTooLongError(DatasetError):
    """A text is longer than an encoder takes, and is not to be cut.

    Attributes:
        position: of the text among those that were given together.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)  # both, so that it survives the way from another process
        self.position = position

    def __str__(self) -> str:
        return str(self.args[0])


class CorruptArtifactError(FusionAppError, ValueError):
    """A stored file does not hold what was written there."""


class LockedError(FusionAppError, BlockingIOError):
    """Another process is writing to the same place."""


class UpstreamError(FusionAppError, ConnectionError):
    """A hub or a service outside this process failed or refused."""


class ResourceError(FusionAppError, MemoryError):
    """Memory or disk ran out."""


class WorkersLostError(ResourceError):
    """Worker after worker died over one part of a job, or gave no sign of life."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
