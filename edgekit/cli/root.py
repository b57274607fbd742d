"""Root group: imports a command when it is called, and turns errors into messages and exit codes.

Until a command runs only click is imported, so `edgekit --help` is as fast as click.
"""

from __future__ import annotations

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
    "profile": "Show the time of each operator on this machine.",
    "devices": "List attached devices and what each can run.",
    "push": "Put runner, libraries and models on devices.",
    "virtual": "Start and stop virtual ARM64 devices, for everyone without a phone.",
    "bundle": "Put exported models into the Android demo app.",
    "apk": "Build, install and measure the Android demo app.",
    "toolchain": "Install and list the tools that edgekit uses.",
    "cache": "Show and free edgekit's cache on this machine.",
    "doctor": "Check this machine, and name the command that mends each problem.",
    "completion": "Print completion of commands and options for bash, zsh or fish.",
}


class LazyGroup(click.Group):
    """A group that imports its commands when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"edgekit.cli.commands.{module_name}")
        command: click.Command = module.command
        command.name = cmd_name
        command.short_help = COMMANDS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
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

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("edgekit")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("edgekit.process").setLevel(logging.INFO if verbose else logging.WARNING)


def main(argv: list[str] | None = None) -> NoReturn:
    """Console script: run a command and exit with its documented exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    try:
        code = root.main(args=arguments, prog_name="edgekit", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except BrokenPipeError:
        # The reader of stdout has gone away (`edgekit models list | head`), so there is nothing more to
        # write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted", None)
        sys.exit(INTERRUPTED_EXIT_CODE)
    except click.UsageError as error:
        context = error.ctx
        _say(error.format_message(), f"{context.command_path} --help" if context else "edgekit --help")
        sys.exit(2)
    except click.ClickException as error:
        _say(error.format_message(), None)
        sys.exit(error.exit_code)
    except EdgekitError as error:
        if debug:
            raise
        _say(error.message, error.hint)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        _end_on_unexpected(error)


def _end_on_unexpected(error: Exception) -> NoReturn:
    import errno

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        _say(f"writing {error.filename or 'a file'}: {error.strerror}", "free space, or write elsewhere")
        sys.exit(3)
    _say(
        f"a bug in edgekit: {type(error).__name__}: {error}",
        "run `edgekit --debug …` again and report its traceback",
    )
    sys.exit(1)


def _say(message: str, hint: str | None) -> None:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True, color=_color())
    if hint:
        click.echo(f"{click.style('hint:', fg='cyan', bold=True)} {hint}", err=True, color=_color())


def _color() -> bool | None:
    """Return None to let click decide by the terminal; NO_COLOR (no-color.org) overrides that."""
    return False if os.environ.get("NO_COLOR") else None
