"""A script that lets bash or zsh complete commands, flags, the values that a flag can have, and paths.

tyro makes such scripts as well. They start Python at each press of the key, complete no path that stands for itself
(`transpose localize runs/...`), and offer the help of a flag, line by line, beside it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tyro

from transpose.errors import TransposeError

_POSITIONAL = get_args(tyro.conf.Positional[int])[1]  # how tyro marks an argument that is no flag
# What a word may be is decided by functions of POSIX's shell, which both shells know.
_CANDIDATES = r"""
_transpose_candidates() {
  local word=$1 at=transpose flag= first=yes
  shift
  local before
  for before in "$@"; do
    if _transpose_enters "$at $before"; then at="$at $before" flag= first=yes
    else
      first=
      case "$before" in --*) flag=$before ;; esac
    fi
  done
  case "$word" in
    -*) _transpose_values "$at $flag"; _transpose_flags "$at" ;;
    *) if [ -n "$flag" ] && ! _transpose_is_switch "$at $flag"; then _transpose_values "$at $flag"
       elif [ -n "$first" ]; then _transpose_words "$at"
       fi ;;
  esac
}
"""
_SHELLS = {
    "bash": r"""
_transpose() {
  local word=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=($(compgen -W "$(_transpose_candidates "$word" "${COMP_WORDS[@]:1:COMP_CWORD-1}")" -- "$word"))
}
complete -o bashdefault -o default -F _transpose transpose
""",
    "zsh": r"""
_transpose() {
  compadd -- ${=$(_transpose_candidates "$PREFIX" "${(@)words[2,CURRENT-1]}")} || _files
}
if [ "$funcstack[1]" = _transpose ]; then _transpose "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _transpose transpose
fi
""",
}


@dataclass(frozen=True)
class Words:
    """What may stand after a command (`transpose build mesh`): subcommands, or choices of its first argument; flags,
    which of them take no value, and which one of a few values."""

    subcommands: tuple[str, ...]
    choices: tuple[str, ...]
    flags: tuple[str, ...]
    switches: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]


def completion_script(
    shell: Literal["bash", "zsh"], commands: Mapping[str, Any], read: Callable[[list[str]], Any]
) -> str:
    """The script.

    Args:
        shell: which reads it.
        commands: the command of each name.
        read: reads a command line by them, as tyro does.
    """
    words = dict(_of(_specification(read), "transpose", commands))
    enters = {f"{at} {name}": "" for at, of in words.items() for name in of.subcommands}
    switches = {f"{at} {flag}": "" for at, of in words.items() for flag in of.switches}
    values = {f"{at} {flag}": " ".join(each) for at, of in words.items() for flag, each in of.values.items()}
    first = {at: " ".join(of.subcommands + of.choices) for at, of in words.items() if of.subcommands + of.choices}
    parts = [
        "#compdef transpose",
        _cases("_transpose_enters", enters),
        _cases("_transpose_is_switch", switches),
        _cases("_transpose_values", values),
        _cases("_transpose_words", first),
        _cases("_transpose_flags", {at: " ".join(of.flags) for at, of in words.items()}),
    ]
    return "\n".join(parts) + _CANDIDATES + _SHELLS[shell]


def _specification(read: Callable[[list[str]], Any]) -> dict[str, Any]:
    """What tyro knows of all commands, which stands in the script that it makes itself.

    Raises:
        TransposeError: a version of tyro whose script is another.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        read(["--tyro-print-completion", "bash"])
    found = re.search(r"^COMPLETION_SPEC = (.*)$", printed.getvalue(), re.MULTILINE)
    if found is None:
        raise TransposeError(
            f"tyro {tyro.__version__} does not say what can be completed; install another version of it"
        )
    specification: dict[str, Any] = ast.literal_eval(found.group(1))
    return specification


def _of(specification: dict[str, Any], at: str, commands: Any) -> Iterator[tuple[str, Words]]:
    """The words of a command, and of those below it."""
    options = specification["options"]
    flags = [(flag, option) for option in options for flag in option["flags"] if flag.startswith("--")]
    below: dict[str, Any] = specification["subcommands"]
    yield (
        at,
        Words(
            tuple(below),
            _choices(commands),
            tuple(flag for flag, _ in flags),
            tuple(flag for flag, option in flags if option["type"] == "flag"),
            {flag: tuple(map(str, option["choices"])) for flag, option in flags if option["type"] == "choice"},
        ),
    )
    for name, each in below.items():
        yield from _of(each, f"{at} {name}", commands.get(name) if isinstance(commands, Mapping) else None)


def _choices(command: Any) -> tuple[str, ...]:
    """Those of a command's first argument, which tyro tells of flags alone."""
    if not is_dataclass(command):
        return ()
    hints = get_type_hints(command, include_extras=True)
    for field in fields(command):
        kind, *marks = get_args(hints[field.name]) if hasattr(hints[field.name], "__metadata__") else (None,)
        if _POSITIONAL in marks:
            return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
    return ()


def _cases(function: str, printed: Mapping[str, str]) -> str:
    """A function of the shell that prints what its argument stands for, and fails where it stands for nothing."""
    lines = [
        f"    {shlex.quote(key)}) {f'echo {shlex.quote(value)}' if value else ':'} ;;" for key, value in printed.items()
    ]
    return "\n".join([f"{function}() {{", '  case "$1" in', *lines, "    *) return 1 ;;", "  esac", "}"])
