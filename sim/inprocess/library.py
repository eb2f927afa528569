# SPDX-License-Identifier: Apache-2.0
"""The TSU in some simulator as a shared library behind sim/native/tsd_abi.h, built once for each configuration."""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from hw.spec.config import TsuConfig
from sim.native.build import build_once
from sim.native.header import ABI_HEADER, CONFIG_HEADER_NAME, config_header

from .ports import PORTS_HEADER_NAME, PortStyle, ports_header
from .sources import Sources

if TYPE_CHECKING:
    from .flat_tsu import FlatTsu

_HERE = Path(__file__).resolve().parent


def library_facts(config: TsuConfig, *, sources: Sources, tools: Mapping[str, str]) -> dict[str, str]:
    """Everything the library depends on, without elaborating it: our sources, configuration, tools."""
    return (
        sources.texts
        | dict(tools)
        | {
            "config": json.dumps(config.as_dict()),
            CONFIG_HEADER_NAME: config_header(config),
            "amaranth": version("amaranth"),
        }
    )


def simulated_library(
    config: TsuConfig,
    *,
    name: str,
    sources: Sources,
    tools: Mapping[str, str],
    style: PortStyle,
    compile_top: Callable[["FlatTsu", Path], Path],
) -> Path:
    """The shared library of `config` in one simulator, built if the cache has none.

    Parameters
    ----------
    config : TsuConfig
    name : str
        Start of the library's file name.
    sources : Sources
        Files of ours that it is made of.
    tools : mapping of str to str
        Tools and options that it depends on.
    style : PortStyle
        Of the simulator.
    compile_top : callable
        Takes the top and a folder in which all headers are, and returns the shared library that it made there.

    Raises
    ------
    NativeBuildError
        `compile_top` raised it, the cache cannot be written, or sources were changed since they were imported.
    """

    def build(work: Path) -> Path:
        from .flat_tsu import FlatTsu

        sources.check_unchanged()
        top = FlatTsu(config=config)
        headers = {path.name: path.read_text(encoding="utf-8") for path in (ABI_HEADER, *_HERE.glob("*.hpp"))}
        headers[CONFIG_HEADER_NAME] = config_header(config)
        headers[PORTS_HEADER_NAME] = ports_header(
            inputs=top.inputs, outputs=top.outputs, lanes=config.lanes, style=style, contexts=config.contexts
        )
        for file_name, text in headers.items():
            (work / file_name).write_text(text, encoding="utf-8")
        built = compile_top(top, work)
        sources.check_unchanged()
        return built

    return build_once(name=name, facts=library_facts(config, sources=sources, tools=tools), build=build)
