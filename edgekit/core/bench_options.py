"""The options of `bench`, each written once: click, `--config`, `--resume` and the sweep read this record.

A new option is a field here, and code where it takes effect.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from edgekit.core.spec import Precision
from edgekit.errors import UsageError


class PowerMode(enum.Enum):
    """Paddle Lite's names for where threads are bound; the number is its enum value."""

    HIGH = "HIGH"
    LOW = "LOW"
    FULL = "FULL"
    NO_BIND = "NO_BIND"
    RAND_HIGH = "RAND_HIGH"
    RAND_LOW = "RAND_LOW"


class Place(enum.Flag):
    """What an option is for: benches of this machine, of devices, and two models in turns (`--ab`)."""

    HOST = enum.auto()
    DEVICE = enum.auto()
    AB = enum.auto()


EVERYWHERE = Place.HOST | Place.DEVICE | Place.AB
BENCHES = Place.HOST | Place.DEVICE


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What a field of `BenchOptions` does not say by its type and default.

    Attributes:
        help: The line of `--help`; None for options that several commands share.
        name: On the command line and in a configuration; None for the field's own with dashes.
        metavar: The value's name in `--help`; None for the type's.
        places: What it is for.
        instead: The hint where it is asked for anything else.
        default: The value of a device where nothing is asked.
        host, emulated: Values of this machine and of emulated devices where they differ from `default`.
        percent: A share that people write with its sign, `1%`.
        repeated: Several values by repeating the option; else they are separated by commas.
        of_call: It may be given beside `--resume`: how a machine is reached, not what is measured.
        argument: It is written without a name.
        short: The short form, `-o`.
        path: It names a file.
        shown: What `--help` calls the default where no value is it.
    """

    help: str | None = None
    name: str | None = None
    metavar: str | None = None
    places: Place = BENCHES
    instead: str | None = None
    default: Any = None
    host: Any = None
    emulated: Any = None
    percent: bool = False
    repeated: bool = False
    of_call: bool = False
    argument: bool = False
    short: str | None = None
    path: bool = False
    shown: str | None = None

    def default_of(self, *, host: bool, emulated: bool) -> Any:
        """The value where nothing is asked; None where the field's own default is it."""
        special = self.host if host else self.emulated if emulated else None
        return self.default if special is None else special


Whole = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `bench` was asked; None, and no engine, take the default of the target (`with_defaults`).

    Attributes:
        models: NAMEs or artifact directories; none for all that are exported.
        target_ci: Relative half-width of the latency's 95 % interval at which a point is good enough;
            `max_s` then also limits the seconds of a point's processes altogether.
        engine_options: NAME -> VALUE, for the engines that have such an option.
        output: The result file; None for `results/TIME-TARGET.json`.
    """

    models: Annotated[tuple[str, ...], Option(argument=True, repeated=True, places=EVERYWHERE)] = ()
    host: Annotated[
        bool, Option(help="Measure this machine instead of a device.", places=Place.HOST | Place.AB)
    ] = False
    devices: Annotated[
        tuple[str, ...], Option(name="device", repeated=True, places=Place.DEVICE, of_call=True)
    ] = ()
    adb_servers: Annotated[
        tuple[str, ...], Option(name="adb-server", repeated=True, places=Place.DEVICE, of_call=True)
    ] = ()
    engines: Annotated[
        tuple[str, ...],
        Option(
            name="engine",
            help="What computes",
            places=EVERYWHERE,
            default=("paddlelite",),
            host=("paddle",),
            shown="paddlelite; paddle with --host",
        ),
    ] = ()
    precisions: Annotated[
        tuple[Precision, ...], Option(name="precision", help="Which artifacts.", places=EVERYWHERE)
    ] = (Precision.FP32,)
    threads: Annotated[tuple[Positive, ...], Option(help="Threads of the engine.", places=EVERYWHERE)] = (1,)
    batch_sizes: Annotated[
        tuple[Positive, ...], Option(name="batch-size", help="Inputs an inference.", places=EVERYWHERE)
    ] = (1,)
    power_modes: Annotated[
        tuple[PowerMode, ...],
        Option(
            name="power-mode",
            help="Core binding, on devices.",
            places=Place.DEVICE,
            instead="bind threads with --cores 0,1",
        ),
    ] = ()
    cores: Annotated[
        str | None,
        Option(metavar="LIST", help="0,1 or big, little, all: bind the runner to them.", places=EVERYWHERE),
    ] = None
    warmup: Annotated[
        Whole | None, Option(help="Fewest warm-up runs; 0 measures cold.", default=10, emulated=2)
    ] = None
    repeats: Annotated[
        Positive | None, Option(help="Fewest timed runs of each process.", default=100, emulated=3)
    ] = None
    min_s: Annotated[
        Seconds | None,
        Option(name="min-secs", help="Fewest timed seconds of each process.", default=2.0, emulated=0.0),
    ] = None
    max_s: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Option(name="max-secs", help="Most timed seconds of each process.", default=60.0, emulated=600.0),
    ] = None
    cooldown_s: Annotated[Seconds, Option(name="cooldown", help="Seconds of rest before each process.")] = 0.0
    processes: Annotated[
        Positive | None, Option(help="Fresh processes a point.", places=EVERYWHERE, default=5, emulated=1)
    ] = None
    target_ci: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Option(
            metavar="PERCENT",
            percent=True,
            help="More processes until the 95 % interval is this narrow or --max-secs over.",
        ),
    ] = None
    ab: Annotated[
        bool,
        Option(
            help="The second NAME against the first, interleaved, in one run.", places=Place.HOST | Place.AB
        ),
    ] = False
    engine_options: Annotated[
        dict[str, str],
        Option(
            name="engine-option",
            metavar="NAME=VALUE",
            repeated=True,
            help="Of an engine, repeatable",
            places=Place.HOST | Place.AB,
            instead="leave it out, or measure with --host",
        ),
    ] = {}
    allow_mismatch: Annotated[bool, Option(places=Place.DEVICE)] = False
    no_install: Annotated[bool, Option(places=EVERYWHERE, of_call=True)] = False
    anyway: Annotated[bool, Option(places=EVERYWHERE)] = False
    output: Annotated[
        str | None,
        Option(
            short="-o", metavar="FILE", path=True, help="The result file.", shown="results/TIME-TARGET.json"
        ),
    ] = None

    def with_defaults(self, *, host: bool, emulated: bool = False) -> BenchOptions:
        """The same options with the defaults of a target where nothing was asked."""
        taken = {
            one.field: one.option.default_of(host=host, emulated=emulated)
            for one in OPTIONS
            if getattr(self, one.field) in (None, ())
        }
        made = msgspec.structs.replace(
            self, **{name: value for name, value in taken.items() if value is not None}
        )
        if self.min_s is None and made.min_s is not None and made.max_s is not None:
            # Who asks for a short process does not have to say so twice.
            made = msgspec.structs.replace(made, min_s=min(made.min_s, made.max_s))
        return made

    def check_place(self, place: Place) -> None:
        """Refuse what a place does not have. Raises UsageError that names the option."""
        for one in OPTIONS:
            if place not in one.option.places and getattr(self, one.field) != one.default:
                name = one.name
                said = {
                    Place.HOST: f"--host excludes --{name}",
                    Place.DEVICE: f"--{name} is for --host",
                    Place.AB: f"--ab does not go with --{name}",
                }
                raise UsageError(said[place], hint=one.option.instead or "leave it out")


class FieldOption(msgspec.Struct, frozen=True, kw_only=True):
    """One option with what its field says.

    Attributes:
        field: The field's name in `BenchOptions`.
        name: The option's name on the command line without its dashes, and in a configuration.
        type: The field's annotation.
        default: The field's.
    """

    field: str
    name: str
    option: Option
    type: Any
    default: Any


def _options() -> tuple[FieldOption, ...]:
    hints = get_type_hints(BenchOptions, include_extras=True)
    found = []
    for field in msgspec.structs.fields(BenchOptions):
        option = next(one for one in hints[field.name].__metadata__ if isinstance(one, Option))
        factory = field.default_factory
        found.append(
            FieldOption(
                field=field.name,
                name=option.name or field.name.replace("_", "-"),
                option=option,
                type=hints[field.name],
                default=field.default if factory is msgspec.NODEFAULT else factory(),
            )
        )
    return tuple(found)


OPTIONS = _options()
