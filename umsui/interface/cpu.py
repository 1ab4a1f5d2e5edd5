"""What a running program can come to depend on of its CPU."""

from __future__ import annotations

import re

# The flags of /proc/cpuinfo that a program can come to depend on. The rest (mitigations, virtualization, power,
# kernel features) may differ without harm, and does between kernels on the very same machine.
_ISA = re.compile(
    r"(3dnow|mmx|fxsr|fpu$|sse|ssse|avx|aes$|vaes|pclmul|vpclmul|bmi|fma|f16c|movbe|popcnt|abm|adx|sha|gfni|amx|"
    r"xsave|xgetbv|rdrand|rdseed|rdpid|rdtscp|fsgsbase|cx16|cx8|cmov|lahf_lm|erms|fsrm|clflush|clwb|clzero|pku|ospke|"
    r"hle|rtm|xop|tbm|lwp|movdir|waitpkg|serialize|cldemote|enqcmd|user_shstk|umip)"
)


def isa(flags: frozenset[str], arch: str) -> frozenset[str]:
    """The CPU flags that matter to a running program."""
    return frozenset(flag for flag in flags if _ISA.match(flag)) if arch in ("x86_64", "i686") else flags


def flags(cpuinfo: bytes) -> frozenset[str]:
    """The features of the first processor that /proc/cpuinfo tells of."""
    for line in cpuinfo.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
