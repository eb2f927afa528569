# SPDX-License-Identifier: Apache-2.0
"""From a language model to a head for it: write texts, then train; what `python -m host.train head` does."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from host.models.config import HeadConfig
from host.models.head import TARGET_DIGEST, model_digest
from host.models.llama import LlamaModel
from host.models.llama_folder import load_llama
from host.models.store import read_json
from host.targets.language_model import ModelFolder, is_lean
from host.telemetry.files import output_error, write_json
from hw.spec.errors import SpecError, check_int

from .checkpoint import STATE
from .goal import Goal
from .head import HeadTask
from .loop import TrainResult, train
from .own_text import OwnTexts, collect, drop_rounds, round_path, write_texts
from .run import ProgressCallback
from .settings import TrainSettings, check_number

PLAN = "texts.json"
"""What the texts in a folder were made with."""

LENGTH_MIN, LENGTH_MAX = 8, 4096
"""Legal tokens of a text."""


@dataclass(frozen=True, kw_only=True)
class TextPlan:
    """Texts that the language model is to write.

    Parameters
    ----------
    rounds : int
        Rounds of texts to learn from, at least 1; one more is held out.
    texts : int
        Texts of a round, which run side by side.
    length : int
        Tokens of a text, in [8, 4096].
    temperatures : tuple of float
        Of the texts, in turn; different, each above 0.
    begins : tuple of str
        How they begin, in turn; not empty.
    dtype : str
        Number format of the language model: "float32" or "bfloat16".
    seed : int

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    rounds: int
    texts: int
    length: int
    temperatures: tuple[float, ...]
    begins: tuple[str, ...]
    dtype: str
    seed: int

    def __post_init__(self) -> None:
        check_int("rounds", self.rounds, 1, 1 << 16)
        check_int("length", self.length, LENGTH_MIN, LENGTH_MAX)
        check_int("begins", len(self.begins), 1, 1 << 10)
        check_int("seed", self.seed, 0, 1 << 31)
        for heat in self.temperatures:
            check_number("temperature", heat, above=0.0)
        if not self.temperatures or len(set(self.temperatures)) < len(self.temperatures):
            raise SpecError("temperatures", list(self.temperatures), "at least one, and no two alike")
        check_int("texts", self.texts, len(self.temperatures), 1 << 12)


class HeadRun:
    """A language model, and the texts and the head that come of it: `write`, then `train`.

    Parameters
    ----------
    found : ModelFolder
        A Llama that the lean pass can run.
    plan : TextPlan
    sizes : dict
        `alone`, `middle` (two thirds of the layers if it is missing), `inner`, `kept` and `rank` of `HeadConfig`.
    goal : Goal
    folder : Path
        Made if need be. It gets the texts, and the model as `host.train.loop.train` says.
    resume : bool
        Go on with the texts and the checkpoint in the folder.

    Raises
    ------
    SpecError, ModelError
        A size is outside its range, the model is no such Llama, or the folder is another run's.
    OutputError
        The folder cannot be written.
    """

    def __init__(
        self,
        *,
        found: ModelFolder,
        plan: TextPlan,
        sizes: dict[str, int],
        goal: Goal,
        folder: Path,
        resume: bool = False,
    ) -> None:
        if not is_lean(found.config):
            raise SpecError("target", found.name, "a Llama that the lean pass can run")
        self._begins = [found.tokenizer.encode(begin).tolist() for begin in plan.begins]
        for begin, ids in zip(plan.begins, self._begins, strict=True):
            if not 1 <= len(ids) < plan.length:
                raise SpecError("begin", begin, f"a text of 1 to {plan.length - 1} tokens")
        self._model = load_llama(folder=found.folder, positions=plan.length, dtype=plan.dtype, texts=plan.texts)
        lm = self._model.config
        sizes = {"middle": round(lm.layers * 2 / 3), **sizes}
        self.config = HeadConfig(vocab_size=lm.vocab_size, width=lm.width, **sizes)
        for name, layer in (("alone", self.config.alone), ("middle", self.config.middle)):
            check_int(name, layer, 0, lm.layers)
        goal.check_vocab(self.config.kept)
        self._plan, self._goal, self._folder, self._resume = plan, goal, folder, resume
        claim(folder, plan, self.config, self._model, resume=resume)

    def write(self, progress: Callable[[int], None] | None = None) -> OwnTexts:
        """All rounds of texts, the held-out one last; progress is told the rounds that are there.

        Raises
        ------
        OutputError
            A round cannot be written.
        """
        plan = self._plan

        def write(number: int) -> OwnTexts:
            return write_texts(
                self._model, begins=self._begins, temperatures=plan.temperatures, length=plan.length,
                middle=self.config.middle, seed=(plan.seed << 16) + number,
            )  # fmt: skip

        return collect(self._folder, rounds=plan.rounds + 1, write=write, progress=progress)

    def train(
        self, texts: OwnTexts, *, settings: TrainSettings, progress: ProgressCallback | None = None
    ) -> TrainResult:
        """Train a head on what `write` gave; the files of the texts are removed at the end.

        Raises
        ------
        SpecError, OutputError, TrainingError
            See `host.train.loop.train`.
        """
        cut = self._plan.rounds * self._plan.texts
        task = HeadTask(
            config=self.config,
            model=self._model,
            texts=texts.rows(slice(0, cut)),
            heldout=texts.rows(slice(cut, None)),
            settings=settings,
            goal=self._goal,
        )
        resume = self._resume and (self._folder / STATE).exists()
        result = train(task, settings, folder=self._folder, resume=resume, progress=progress)
        drop_rounds(self._folder)
        return result


def claim(folder: Path, plan: TextPlan, config: HeadConfig, model: LlamaModel, *, resume: bool) -> None:
    """Mark a folder as this run's, or check that it is.

    Raises
    ------
    SpecError
        It belongs to another run, to none, or to one that has ended.
    OutputError
        It cannot be written.
    """
    texts = {**asdict(plan), "temperatures": list(plan.temperatures), "begins": list(plan.begins)}  # as JSON has them
    content = {"plan": texts, "middle": config.middle, TARGET_DIGEST: model_digest(model.output_weights)}
    path = folder / PLAN
    if not resume:
        if path.exists() or (folder / STATE).exists():
            raise SpecError("out", str(folder), "a folder without a run, or resume")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from None
        write_json(path, content)
        return
    if read_json(path) != content:
        raise SpecError("resume", str(folder), "a run whose texts were made with the same options")
    if (folder / STATE).exists() and not round_path(folder, 0).exists():
        raise SpecError("resume", str(folder), "a run that has not ended")
