# SPDX-License-Identifier: Apache-2.0
"""SmallCrush of TestU01, where the user has that library: it is not free software, so nothing of it is kept here."""

import ctypes
import ctypes.util

from . import laws
from .report import TESTU01, CheckResult, Status
from .source import RtlSource

LIBRARY = "testu01"
"""Name of the shared library, as the linker would look for it."""

_PARTS = ("mylib", "probdist", LIBRARY)
_TESTS_MAX = 200  # size of the arrays in TestU01's bbattery.h


def find_testu01() -> ctypes.CDLL | None:
    """The library with what it needs, or None where the machine has none."""
    library = None
    for part in _PARTS:
        name = ctypes.util.find_library(part)
        if name is None:
            continue
        try:
            library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL) if part != LIBRARY else ctypes.CDLL(name)
        except OSError:
            return None
    return library if ctypes.util.find_library(LIBRARY) else None


def small_crush(source: RtlSource, library: ctypes.CDLL) -> CheckResult:
    """`bbattery_SmallCrush` on the words of all streams in turn.

    Twice the smallest of p and 1 - p over all statistics, times their number, is the p-value of the check.
    """
    u32 = ctypes.c_uint
    library.unif01_CreateExternGenBits.restype = ctypes.c_void_p
    library.unif01_CreateExternGenBits.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    library.unif01_DeleteExternGenBits.argtypes = [ctypes.c_void_p]
    library.bbattery_SmallCrush.argtypes = [ctypes.c_void_p]
    ctypes.c_int.in_dll(library, "swrite_Basic").value = 0  # the summary is enough
    source.library.noise_choose(source.device)
    next_word = ctypes.cast(ctypes.CFUNCTYPE(u32)(("noise_next", source.library)), ctypes.c_void_p)
    generator = library.unif01_CreateExternGenBits(source.config.noise.encode(), next_word)
    try:
        library.bbattery_SmallCrush(generator)
    finally:
        library.unif01_DeleteExternGenBits(generator)
    count = ctypes.c_int.in_dll(library, "bbattery_NTests").value
    values = (ctypes.c_double * _TESTS_MAX).in_dll(library, "bbattery_pVal")
    # A statistic that was not computed has a negative p-value.
    tails = [min(p, 1 - p) for p in values[:count] if p >= 0]
    if not tails:
        return CheckResult(name=TESTU01, status=Status.NOT_RUN, figure="TestU01 computed no statistic")
    p = min(1.0, 2 * len(tails) * min(tails))
    figure = f"{len(tails)} statistics, most extreme p {min(tails):.2g}"
    return CheckResult(name=TESTU01, status=Status.PASS if p >= laws.ALPHA else Status.FAIL, figure=figure, p=p)
