"""`edgekit serve`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import precision_option
from edgekit.cli.output import note
from edgekit.cli.targets import engine_list
from edgekit.engines.registry import PREDICT_ENGINE


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all networks."
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port for REST.")
@click.option(
    "--grpc-port", type=click.IntRange(1, 65535), default=8081, show_default=True, help="Port for gRPC."
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    default=8082,
    show_default=True,
    help="Port for Prometheus.",
)
@click.option(
    "--engine", default=PREDICT_ENGINE, show_default=True, help=f"Engine: {engine_list(host=True)}."
)
@precision_option
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of each model."
)
@click.option(
    "--max-batch",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Maximum number of pictures computed together.",
)
@click.option(
    "--max-wait", type=click.FloatRange(0), default=0.0, show_default=True, metavar="MS",
    help="Time that a picture waits for others to join its batch.",
)  # fmt: skip
@click.option("--decode-threads", type=click.IntRange(1), default=1, show_default=True,
              help="Threads that decode and preprocess, for each model.")  # fmt: skip
@click.option(
    "--top-k",
    type=click.IntRange(1),
    help="Number of classes or boxes in an answer.  [default: 5 classes; all boxes and labels found]",
)
@click.option("--max-body", type=click.IntRange(1), default=32, show_default=True, metavar="MB",
              help="Largest request.")  # fmt: skip
@click.option("--anyway", is_flag=True, help="Use an artifact although it failed its check (verify).")
@click.option("--api-key", type=click.Path(path_type=Path), metavar="FILE",
              help="File of API keys, one a line; clients send `Authorization: Bearer KEY`.")  # fmt: skip
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="PEM", help="Certificate chain for TLS.")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="PEM", help="Key of the certificate.")
@click.option("--admin", is_flag=True, help="Let clients load and unload the models.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
              metavar="S", help="Time limit of a request, from its first byte to its answer.")  # fmt: skip
@click.option("--grace", type=click.FloatRange(0), default=30.0, show_default=True, metavar="S",
              help="Time limit for the end after SIGTERM.")  # fmt: skip
@click.option(
    "--settings-only", type=click.Path(path_type=Path), metavar="DIR",
    help="Write the model repository for `mlserver start DIR`, and serve nothing.",
)  # fmt: skip
def command(
    names: tuple[str, ...],
    host: str,
    port: int,
    grpc_port: int,
    metrics_port: int,
    engine: str,
    precision: str,
    threads: int,
    max_batch: int,
    max_wait: float,
    decode_threads: int,
    top_k: int | None,
    max_body: int,
    anyway: bool,
    api_key: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    admin: bool,
    timeout: float,
    grace: float,
    settings_only: Path | None,
) -> None:
    """Offer exported models over the Open Inference Protocol (V2), REST and gRPC, until interrupted."""
    from edgekit._files import scratch_directory
    from edgekit.core.spec import Precision
    from edgekit.serving.protection import Protection, check_tls, is_loopback, read_keys
    from edgekit.serving.repository import (
        MEGABYTE,
        Listening,
        check_listening,
        write_repository,
    )
    from edgekit.serving.runner import ServedModel
    from edgekit.serving.server import require_mlserver, serve

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key need each other")
    listening = Listening(
        host=host,
        http_port=port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        max_body_bytes=max_body * MEGABYTE,
    )
    served = ServedModel(
        engine=engine,
        precision=Precision(precision),
        threads=threads,
        max_batch=max_batch,
        max_wait_ms=max_wait,
        top_k=top_k,
        decode_threads=decode_threads,
        anyway=anyway,
    )
    if settings_only is not None:
        if api_key is not None or tls_cert is not None or admin:
            raise click.UsageError(
                "--settings-only writes for `mlserver start`, which has no keys and no TLS"
            )
        write_repository(names, settings_only, listening, served)
        click.echo(f"mlserver start {settings_only}")
        return
    require_mlserver()
    protection = Protection(
        keys=() if api_key is None else read_keys(api_key),
        certificate=tls_cert,
        private_key=tls_key,
        admin=admin,
        timeout_s=timeout,
        grace_s=grace,
    )
    if tls_cert is not None and tls_key is not None:
        check_tls(tls_cert, tls_key)
    check_listening(listening)
    with scratch_directory("serve") as directory:
        models = write_repository(names, directory, listening, served)
        for manifest in models:
            if manifest.doubt is not None:
                note(manifest.doubt)
        if not protection.keys and not is_loopback(host):
            note(f"listening at {host} without --api-key: whoever reaches this machine may ask")
        elif protection.certificate is None and not is_loopback(host):
            note(f"listening at {host} without --tls-cert: whoever reads along learns the key")
        scheme = "http" if protection.certificate is None else "https"
        where = f"{scheme}://{host}:{port}/v2 and {host}:{grpc_port} (gRPC)"
        serving = f"serving {', '.join(manifest.name for manifest in models)} on {where}"
        serve(directory, listening, protection, lambda: note(serving))
