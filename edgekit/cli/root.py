"""Root group: imports a command when it is called, and turns errors into messages and exit codes.

Until a command runs only click is imported, so `edgekit --help` is as fast as click.
"""

from __future__ import annotations

import contextlib
import importlib
import keyword
import os
import sys
from typing import NoReturn

import click

from edgekit import __version__
from edgekit.errors import INTERRUPTED_EXIT_CODE, EdgekitError

# Command -> summary. The command is `command` in edgekit.cli.commands.NAME (NAME_ for a Python keyword).
COMMANDS: dict[str, str] = {
    "run": "Export, check, measure and report a model in one go.",
    "models": "Show the models of the zoo, with published figures.",
    "export": "Build a model's Paddle, ONNX and Paddle Lite artifacts and check them.",
    "import": "Turn your own model (Paddle, ONNX) into the same artifacts, and check them.",
    "fetch": "Fetch official weights and inference models into the cache.",
    "quantize": "Make int8 artifacts beside the float ones.",
    "verify": "Check that all artifacts of a model agree, rung by rung.",
    "predict": "Classify pictures.",
    "eval": "Measure Top-1 and Top-5 on a labelled list of pictures.",
    "train": "Train a network, or fine-tune it, on labelled pictures.",
    "serve": "Offer exported models over the Open Inference Protocol, REST and gRPC.",
    "bench": "Measure latency on the host or on devices.",
    "report": "Show results as tables, CSV, Markdown, JSON or one HTML page.",
    "compare": "Compare two results, with intervals; exit code 9 on a regression.",
    "estimate": "Estimate latency on a phone without the phone, from exact instruction counts.",
    "choose": "Choose a network for a phone by accuracy and estimated latency.",
    "profile": "Show the time of each operator on this machine.",
    "devices": "List attached devices and what each can run.",
    "push": "Put runner, libraries and models on devices.",
    "virtual": "Start and stop virtual ARM64 devices, for everyone without a phone.",
    "bundle": "Put exported models into the Android demo app.",
    "apk": "Build, install and measure the Android demo app.",
    "toolchain": "Install and list the tools that edgekit uses.",
    "cache": "Show and free edgekit's cache on this machine.",
    "doctor": "Check this machine, and name the command that mends each problem.",
    "report-bug": "Write a file for a bug report, without what is personal.",
    "completion": "Print completion of commands and options for bash, zsh or fish.",
}

# Commands that import Paddle themselves; others leave it to processes that they start.
WITH_PADDLE = ("train",)


class LazyGroup(click.Group):
    """A group that imports its commands when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name.replace("-", "_")
        module = importlib.import_module(f"edgekit.cli.commands.{module_name}")
        command: click.Command = module.command
        command.name = cmd_name
        command.short_help = COMMANDS[cmd_name]
        if ctx.resilient_parsing:  # a completion
            from edgekit.cli.completing import add_completions

            add_completions(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:  # `edgekit help bench` as git and others have it
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from edgekit._text import nearest

            near = nearest(args[0], COMMANDS, 1)
            meant = f"did you mean `edgekit {near[0]}`?" if near else "edgekit --help lists the commands."
            raise click.UsageError(f"no command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
@click.option("-v", "--verbose", is_flag=True, help="Echo every command that is run, on stderr.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def root(verbose: bool, debug: bool) -> None:
    """Put PaddlePaddle classification models on phones, boards and servers, with numbers to trust."""
    _set_up_logging(verbose or debug)


def _set_up_logging(verbose: bool) -> None:
    import logging

    from edgekit._text import printable
    from edgekit.cli.last_command import Recent

    class Printable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(super().format(record))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("%(message)s"))
    handler.addFilter(
        lambda record: verbose or record.name != "edgekit.process" or record.levelno > logging.INFO
    )
    logger = logging.getLogger("edgekit")
    logger.handlers[:] = [handler, Recent()]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def main(argv: list[str] | None = None) -> NoReturn:
    """Console script: run a command and exit with its documented exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    _open_standard_streams()
    stdout = sys.stdout
    try:
        if argv is None:  # else the process is another program's
            _continue_where_paddle_is(arguments)
        code = root.main(args=arguments, prog_name="edgekit", standalone_mode=False)
        sys.stdout.flush()
        if isinstance(code, int) and code:
            _keep_log(arguments, code, None)
    except BaseException as error:
        if "--debug" in arguments and not isinstance(error, (click.ClickException, click.Abort)):
            import traceback

            traceback.print_exc()
        # click makes an exit of its own of a broken pipe, and wraps stdout.
        code = _exit_code(BrokenPipeError() if sys.stdout is not stdout else error)
        _keep_log(arguments, code, error)
    sys.exit(code if isinstance(code, int) else 0)


def _keep_log(arguments: list[str], code: int, error: BaseException | None) -> None:
    """Keep what a command that failed has logged, for `report-bug`."""
    if code in (0, 2, INTERRUPTED_EXIT_CODE) or "report-bug" in arguments[:1]:
        return
    import logging
    import traceback

    from edgekit.cli import last_command

    recent = [
        line
        for handler in logging.getLogger("edgekit").handlers
        if isinstance(handler, last_command.Recent)
        for line in handler.lines
    ]
    with contextlib.suppress(Exception):  # nothing may hide the failure itself
        trace = "" if error is None else "".join(traceback.format_exception(error))
        last_command.keep(arguments, code, recent, trace)


def _continue_where_paddle_is(arguments: list[str]) -> None:
    """Replace this process by the same command in Paddle's environment, if it needs Paddle and that is there.

    Nothing happens where this Python has Paddle itself, or is that environment's; without Paddle the command
    says what is missing.
    """
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command not in WITH_PADDLE:
        return
    from importlib.util import find_spec

    if all(find_spec(module) is not None for module in ("paddle", "paddle2onnx")):
        return
    from edgekit import _process
    from edgekit.toolchain.paddle import find_environment_python

    python = find_environment_python()
    # That environment itself, where its Paddle is gone, would start itself for ever.
    if python is not None and os.path.realpath(python.parent.parent) != os.path.realpath(sys.prefix):
        command_line = _process.own_python("edgekit.__main__", *arguments, python=python)
        os.execv(python, list(map(str, command_line)))


def _open_standard_streams() -> None:
    """Give stdout and stderr a place where the caller closed them (`>&-`), and let them take any text.

    Without a place, the next file that is opened would get the number of stdout, and what children print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is `number`
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError):  # it asks for the position, which a socket may not have
                stream.reconfigure(errors="backslashreplace")


def _exit_code(error: BaseException) -> int:
    """Say what ended a command, and return its exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader of stdout has gone away (`edgekit models list | head`), so there is nothing more to
        # write.
        _drop_stdout()
        return 0
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say("interrupted", None)
        return INTERRUPTED_EXIT_CODE
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help())
        return 0
    if isinstance(error, click.UsageError):
        context = error.ctx
        _say(error.format_message(), f"{context.command_path} --help" if context else "edgekit --help")
        return 2
    if isinstance(error, click.ClickException):
        _say(error.format_message(), None)
        return error.exit_code
    if isinstance(error, EdgekitError):
        _say(error.message, error.hint)
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    return _unexpected(error)


def _unexpected(error: BaseException) -> int:
    import errno

    no_room = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
    if isinstance(error, OSError) and error.errno in no_room:
        place = error.filename or "stdout, or a file"
        _drop_stdout()
        _say(f"writing {place}: {error.strerror}", "free space there or in TMPDIR, or write elsewhere")
        return 3
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error.strerror):
        _say(f"making a temporary file: {error.strerror}", "free space there, or set TMPDIR")
        return 3
    if isinstance(error, FileNotFoundError) and error.filename is None:
        _say("finding the working directory: it was deleted", "cd to another directory")
        return 3
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        word = error.object.encode(errors="surrogateescape").decode(errors="backslashreplace")
        _say(f"writing the name {word[:200]}: it is not UTF-8", "rename the file or directory")
        return 3
    few = isinstance(error, OSError) and error.errno in (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
    )
    if isinstance(error, OSError) and (error.filename is not None or few):
        _say(
            f"{str(error.filename or 'opening files')[:200]}: {error.strerror}", "give another name or place"
        )
        return 3
    if isinstance(error, MemoryError):
        _say(f"not enough memory ({error})", "give a smaller input, or free memory")
        return 3
    _say(
        f"a bug in edgekit: {type(error).__name__}: {error}",
        "run `edgekit --debug …` again and report its traceback",
    )
    return 1


def _drop_stdout() -> None:
    """Lead stdout nowhere: what Python still holds for it would fail at the end and change the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str, hint: str | None) -> None:
    from edgekit._text import printable
    from edgekit.cli.output import color

    lines = [f"{click.style('error:', fg='red', bold=True)} {printable(message)}"]
    if hint:
        lines.append(f"{click.style('hint:', fg='cyan', bold=True)} {printable(hint)}")
    with contextlib.suppress(OSError):  # a full or vanished stderr takes nothing from the exit code
        click.echo("\n".join(lines), err=True, color=color())
