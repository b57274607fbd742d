"""`edgekit fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from edgekit.cli.options import WordList, json_option, trust_new_option
from edgekit.cli.output import echo_json, note
from edgekit.cli.progress import byte_bars

if TYPE_CHECKING:
    from edgekit.zoo.fetching import Fetched

SAMPLES = "samples"


class FetchLine(msgspec.Struct, frozen=True, kw_only=True):
    """One file in `fetch --json`."""

    model: str
    what: str
    path: str | None
    sha256: str | None
    size_bytes: int | None
    error: str | None
    hint: str | None


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--what",
    type=WordList(("weights", "inference")),
    help="State dicts for `export`, NAME_infer.tar for `import`.  [default: weights, else inference]",
)
@click.option(
    "--mirror",
    metavar="URL|DIR",
    help="Read https://HOST/PATH from URL/HOST/PATH or DIR/HOST/PATH.  [default: $EDGEKIT_MIRROR]",
)
@trust_new_option
@json_option
def command(
    names: tuple[str, ...], what: tuple[str, ...] | None, mirror: str | None, trust_new: bool, as_json: bool
) -> None:
    """Fetch official weights and inference models into the cache, several at once.

    A file's hash is remembered at first use and checked ever after. Offline, the message names the file
    and where to put it.

    NAME `samples` stands for twenty pictures of ImageNet with their classes, to predict and to eval on.
    """
    from edgekit.core.units import format_bytes
    from edgekit.zoo import fetching
    from edgekit.zoo.registry import find_model

    if SAMPLES in names and (what is not None or mirror is not None or trust_new):
        raise click.UsageError("--what, --mirror and --trust-new are not for samples, which a package holds.")
    specs = [find_model(name) for name in dict.fromkeys(names) if name != SAMPLES]
    jobs = [
        (spec, kind)
        for spec in specs
        for kind in (map(fetching.What, what) if what else (fetching.usual(spec),))
    ]
    with fetching.mirror(mirror), byte_bars() as show:
        results = fetching.fetch(jobs, trust_new=trust_new, show=show) if jobs else []
    if SAMPLES in names:
        results.append(_fetch_samples())
    if as_json:
        echo_json(
            [
                FetchLine(
                    model=each.model,
                    what=each.what.value,
                    path=None if each.path is None else str(each.path),
                    sha256=each.sha256,
                    size_bytes=each.size_bytes,
                    error=None if each.error is None else each.error.message,
                    hint=None if each.error is None else each.error.hint,
                )
                for each in results
            ]
        )
    for each in results:
        if each.path is not None and each.size_bytes is not None and each.sha256 is not None:
            if not as_json:
                click.echo(f"{each.path}  {format_bytes(each.size_bytes)}  {each.sha256[:12]}")
        elif each.error is not None and len(results) > 1:
            note(f"failed: {each.error.message} ({each.error.hint})")
    failed = [each.error for each in results if each.error is not None]
    if failed:
        raise failed[0]


def _fetch_samples() -> Fetched:
    from edgekit.errors import EdgekitError
    from edgekit.zoo.fetching import Fetched, What
    from edgekit.zoo.samples import fetch_samples

    try:
        found = fetch_samples()
    except EdgekitError as error:
        return Fetched(model=SAMPLES, what=What.PICTURES, error=error)
    note(f"their classes: --list {found.list_path}")
    return Fetched(
        model=SAMPLES,
        what=What.PICTURES,
        path=found.directory,
        sha256=found.sha256,
        size_bytes=found.size_bytes,
    )
