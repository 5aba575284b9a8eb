"""Embed spooled texts with one encoder, a durable shard at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from time import perf_counter

import attrs

from fusionapp.application.ports.embedding_store import (
    EmbeddingStore,
    EmbeddingWriter,
    Shard,
)
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.executor import Executor
from fusionapp.application.ports.progress import Progress, ProgressTask
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extracted_sets import (
    Effort,
    ExtractedSet,
    job_header,
    set_key,
    written_set,
)
from fusionapp.application.services.reuse_shards import ReuseShards
from fusionapp.application.services.shard_jobs import ShardJob, finish_shard, shard_job
from fusionapp.application.services.write_behind import WriteBehind
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import DatasetError, ResourceError, TextTooLongError, WorkersLostError
from fusionapp.domain.repeats import first_rows

logger = logging.getLogger(__name__)


@attrs.frozen
class ExtractEmbeddings:
    """Runs an encoder over what the store lacks.

    Attributes:
        store: where embeddings are kept.
        executor: where the encoder runs.
        progress: told of every batch.
    """

    store: EmbeddingStore
    executor: Executor
    progress: Progress

    def __call__(
        self, name: str, encoder: Encoder, splits: Mapping[str, SpooledSplit], shard_rows: int
    ) -> list[ExtractedSet]:
        """Embed every split; shards that are on disk as recorded are kept.

        Args:
            name: the encoder's name in the experiment, for progress and logs.
            encoder: loaded only where a shard is missing, and freed before this returns.
            splits: the texts.
            shard_rows: texts in a shard; an interrupted set keeps its own.

        Raises:
            LockedError: another process writes the same set.
            DatasetError: a text is longer than the encoder takes, and `on_truncate` is "error".
            UpstreamError, ResourceError: as the encoder and the store say.
        """
        with closing(encoder), closing(self.executor):
            return [self._split(name, encoder, split, texts, shard_rows) for split, texts in splits.items()]

    def _split(
        self, name: str, encoder: Encoder, split: str, texts: SpooledSplit, shard_rows: int
    ) -> ExtractedSet:
        header = job_header(encoder, texts, shard_rows)
        key, device = set_key(header), header.plan.device
        effort = Effort()
        begun = self.store.read(key)
        reuse = ReuseShards(self.store)
        earlier = None if begun is not None and begun.status().complete else reuse.find(header, texts)
        if begun is None and earlier is not None:
            # Cut and computed alike, a longer set has the very bytes that it would have without the shorter one.
            kept = earlier.stored.header
            header = attrs.evolve(header, shard_rows=kept.shard_rows, plan=kept.plan)
        with self.store.write(key, header) as writer:
            pending = writer.pending()
            if pending and earlier is not None and writer.header.shard_rows == header.shard_rows:
                pending = reuse.copy(earlier, writer, pending)
            _tell_missing(f"{name} {split}", texts.rows, pending, self.store.locate(key), writer.header.plan)
            if pending:
                effort = self._encode(f"{name} {split}", encoder, texts, writer, pending, device)
                _tell_speed(f"{name} {split}", effort)
        return written_set(self.store, split, key, effort)

    def _encode(
        self,
        name: str,
        encoder: Encoder,
        texts: SpooledSplit,
        writer: EmbeddingWriter,
        pending: Sequence[Shard],
        device: str,
    ) -> Effort:
        # Everything but the device is the header's: where a set that was begun elsewhere is resumed, closeness
        # takes the place of equal bytes.
        plan = attrs.evolve(writer.header.plan, device=device)
        first = None if writer.header.shape.sparse else first_rows(texts.stream(), texts.rows)
        waiting: deque[ShardJob] = deque()

        def parts() -> Iterator[Sequence[str]]:
            for shard in pending:
                waiting.append(shard_job(texts, shard, first))
                yield waiting[-1].texts

        missing = sum(shard.stop - shard.start for shard in pending)
        effort, start = Effort(), perf_counter()
        with (
            self.progress.task(name, texts.rows, "texts", texts.rows - missing) as task,
            WriteBehind() as disk,
        ):

            def advance(count: int, tokens: int) -> None:
                task.advance(count, tokens=tokens)

            asked = perf_counter()
            with (
                _named_place(name, waiting),
                closing(self.executor.encode(encoder, parts(), plan, advance)) as encodings,
            ):
                for encoding in encodings:
                    job = waiting.popleft()
                    effort += _effort(job, encoding, perf_counter() - asked)
                    disk.submit(_Commit(name, encoder, job, encoding, writer, plan.device))
                    _show(task, job, effort)
                    asked = perf_counter()
            disk.finish()
        return attrs.evolve(effort, seconds=perf_counter() - start, disk_seconds=disk.waited)


def _tell_missing(
    name: str, rows: int, pending: Sequence[Shard], directory: str, plan: ExecutionPlan
) -> None:
    missing = sum(shard.stop - shard.start for shard in pending)
    if not missing:
        logger.info("%s: each of %d rows stands in %s already; no model is loaded", name, rows, directory)
        return
    logger.info(
        "%s: %d of %d rows are missing, in %d shards; they are encoded with %d tokens a batch and go to %s",
        name,
        missing,
        rows,
        len(pending),
        plan.batch_tokens,
        directory,
    )


def _tell_speed(name: str, effort: Effort) -> None:
    seconds = max(effort.seconds, 1e-9)
    logger.info(
        "%s: %d rows in %.1f s, %.0f texts/s, %.0f tokens/s, padding ratio %.2f, limited by the %s",
        name,
        effort.rows,
        effort.seconds,
        effort.rows / seconds,
        effort.tokens / seconds,
        effort.padded_tokens / max(effort.tokens, 1),
        effort.bottleneck,
    )


@attrs.frozen(eq=False)
class _Commit:
    """A shard on its way to the disk."""

    name: str
    encoder: Encoder
    job: ShardJob
    encoding: Encoding
    writer: EmbeddingWriter
    device: str

    def __call__(self) -> None:
        header = self.writer.header
        finished = finish_shard(
            self.job, self.encoding, self.encoder.exceeds(self.job.repeats), self.writer, header.shape
        )
        begun = header.plan.device
        notes = [
            *self.encoding.notes,
            *([f"computed on {self.device}, begun on {begun}"] if self.device != begun else []),
        ]
        self.writer.commit(
            self.job.shard,
            finished.rows,
            finished.embeddings,
            finished.truncated,
            finished.quarantined,
            notes,
        )
        for note in notes:
            logger.warning("%s, shard %d: %s", self.name, self.job.shard.index, note)


@contextmanager
def _named_place(name: str, waiting: Sequence[ShardJob]) -> Iterator[None]:
    """Say which row is too long, or which shard no worker survives: encodings come in order, so job 0's."""
    try:
        yield
    except WorkersLostError as error:
        shard = waiting[0].shard
        rows = f"rows {shard.start} to {shard.stop - 1}"
        raise ResourceError(f"{name}: shard {shard.index} ({rows}): {error}") from error
    except TextTooLongError as error:
        raise DatasetError(f"{name}: row {int(waiting[0].encoded[error.position])} {error}") from error


def _effort(job: ShardJob, encoding: Encoding, seconds: float) -> Effort:
    return Effort(
        rows=len(job.sources),
        texts=len(job.texts),
        encoder_seconds=seconds,
        tokenizer_seconds=encoding.tokenizer_seconds,
        tokens=encoding.tokens,
        padded_tokens=encoding.padded_tokens,
        peak_device_bytes=encoding.peak_device_bytes,
    )


def _show(task: ProgressTask, job: ShardJob, effort: Effort) -> None:
    """Count the rows that needed no encoding, and show how much of the work is padding."""
    rest = job.shard.stop - job.shard.start - len(job.texts)
    task.advance(rest, padding=effort.padded_tokens / max(effort.tokens, 1))
