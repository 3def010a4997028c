"""Whether this machine has what Compile needs, without loading torch."""

from __future__ import annotations

import os
import shutil

from trainer.config import JobConfig
from trainer.errors import Problem

# Where torch looks, in this order, after what the variable CXX names.
CPP_COMPILERS = ("g++", "clang++", "c++")


def compiler_problems(job: JobConfig) -> list[Problem]:
    """The error that Compile is on and no C++ compiler is to be found.

    Kernels for a CPU are C++, those for a GPU are started through a small C library.
    """
    if not job.advanced.compile:
        return []
    named = os.environ.get("CXX")
    candidates = (named,) if named else CPP_COMPILERS
    if any(shutil.which(candidate) for candidate in candidates):
        return []
    missing = f"CXX names {named!r}" if named else f"looked for {', '.join(CPP_COMPILERS)}"
    return [
        Problem(
            "compiler_missing",
            f"Compile needs a C++ compiler, and this machine has none ({missing}).",
            "Install one (on Debian and Ubuntu: apt install g++), or turn Compile off.",
            "advanced.compile",
            params={"cxx": named or ""},
        )
    ]
