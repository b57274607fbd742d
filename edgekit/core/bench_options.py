"""The options of `bench`, each written once: click, `--config`, `--resume` and the sweep read this record.

To add an option, add a field here and the code that acts on it.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from edgekit.core.spec import Precision
from edgekit.errors import UsageError


class PowerMode(enum.Enum):
    """Paddle Lite's modes of binding threads to cores; each value is Paddle Lite's enum number."""

    HIGH = "HIGH"
    LOW = "LOW"
    FULL = "FULL"
    NO_BIND = "NO_BIND"
    RAND_HIGH = "RAND_HIGH"
    RAND_LOW = "RAND_LOW"


class Place(enum.Flag):
    """Kind of bench that takes an option: on this machine, on devices, or two models in turns (`--ab`)."""

    HOST = enum.auto()
    DEVICE = enum.auto()
    AB = enum.auto()


EVERYWHERE = Place.HOST | Place.DEVICE | Place.AB
BENCHES = Place.HOST | Place.DEVICE


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a bench option that its field's type and default do not say.

    Attributes:
        help: Line for `--help`; None for options that several commands share.
        name: Name on the command line and in a configuration; None for the field's name with dashes.
        metavar: Name of the value in `--help`; None for the name of the type.
        places: Kinds of bench that take the option.
        instead: Hint of the error where another kind of bench is given the option.
        default: Default value on a device.
        host, emulated: Defaults on this machine and on emulated devices, where they differ from `default`.
        percent: True where the value is a share written with a percent sign, `1%`.
        celsius: True where the value is a temperature, which may be written with its unit, `37C`.
        repeated: True where several values are given by repeating the option; else commas separate them.
        of_call: True where the option may accompany `--resume`, because it does not change the measurement.
        argument: True where the value is written without the option's name.
        short: Short form of the option, e.g. `-o`.
        path: True where the value is a file name.
        shown: Text that `--help` shows as the default where there is no default value.
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
    celsius: bool = False
    repeated: bool = False
    of_call: bool = False
    argument: bool = False
    short: str | None = None
    path: bool = False
    shown: str | None = None

    def default_of(self, *, host: bool, emulated: bool) -> Any:
        """Return the target's default value; None where the field's own default applies."""
        special = self.host if host else self.emulated if emulated else None
        return self.default if special is None else special


# The limits keep nonsense (`inf` seconds) away from clocks and libraries; no measurement is near them.
Whole = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one bench; `with_defaults` replaces None, and an empty engine, by the target's defaults.

    Attributes:
        models: NAMEs or artifact directories; empty for all exported models.
        target_ci: Relative half-width of the latency's 95 % interval at which a point is good enough;
            `max_s` then also limits the seconds of a point's processes altogether.
        engine_options: NAME -> VALUE; each engine takes the options that it knows.
        output: Path of the result file; None for `results/TIME-TARGET.json`.
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
            help="Engine",
            places=EVERYWHERE,
            host=("paddle",),
            shown="paddlelite where it can be had, else onnxruntime; with --host paddle, else onnxruntime",
        ),
    ] = ()
    precisions: Annotated[
        tuple[Precision, ...],
        Option(name="precision", help="Precisions of the artifacts.", places=EVERYWHERE),
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
        Option(
            metavar="LIST", help="Cores to bind the runner to: 0,1 or big, little, all.", places=EVERYWHERE
        ),
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
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Option(name="max-secs", help="Most timed seconds of each process.", default=60.0, emulated=600.0),
    ] = None
    cooldown_s: Annotated[Seconds, Option(name="cooldown", help="Seconds of rest before each process.")] = 0.0
    start_below_celsius: Annotated[
        Annotated[float, Meta(gt=0, le=200)] | None,
        Option(
            name="start-below",
            metavar="CELSIUS",
            celsius=True,
            help="Wait before each process until battery (or hottest zone) is cooler, e.g. 37C.",
        ),
    ] = None
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
            help="Compare the second NAME with the first, interleaved, in one run.",
            places=Place.HOST | Place.AB,
        ),
    ] = False
    engine_options: Annotated[
        dict[str, str],
        Option(
            name="engine-option",
            metavar="NAME=VALUE",
            repeated=True,
            help="Option of an engine, repeatable",
            places=EVERYWHERE,
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
        """Return these options with the target's defaults where the user gave no value."""
        taken = {
            one.field: one.option.default_of(host=host, emulated=emulated)
            for one in OPTIONS
            if getattr(self, one.field) in (None, ())
        }
        made = msgspec.structs.replace(
            self, **{name: value for name, value in taken.items() if value is not None}
        )
        if self.min_s is None and made.min_s is not None and made.max_s is not None:
            # A shorter `max_s` alone is enough to shorten a process.
            made = msgspec.structs.replace(made, min_s=min(made.min_s, made.max_s))
        return made

    def check_place(self, place: Place) -> None:
        """Raise UsageError, naming the option, where options do not apply to this kind of bench or exclude
        each other.
        """
        binding = [mode.value for mode in self.power_modes if mode is not PowerMode.NO_BIND]
        if binding and self.cores is not None:
            raise UsageError(
                f"--power-mode {','.join(binding)} --cores {self.cores}: both choose the cores",
                hint="leave one of them out",
            )
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
    """One option together with its field's properties.

    Attributes:
        field: Name of the field in `BenchOptions`.
        name: Name of the option on the command line, without dashes, and in a configuration.
        type: Type annotation of the field.
        default: Default value of the field.
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
