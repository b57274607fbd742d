"""The page of `models --html`, and its chart of accuracy against latency as a picture of its own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.core.spec import CLASSIFICATION, ModelSpec, Platform, Precision, Published
from edgekit.estimate.choose import ACCURACY
from edgekit.estimate.estimate import estimate, known_count
from edgekit.estimate.soc_model import SocModel, load_soc, shipped_socs
from edgekit.pages.chart import Dot, draw_chart
from edgekit.pages.document import document
from edgekit.zoo.registry import list_models

# The SoC with published figures of most networks.
FIRST_SOC = "sd855"


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One network on the page.

    Attributes:
        accuracy: Published Top-1, mAP or mIoU, per cent; None where none is published.
        metric: What `accuracy` is.
        latencies: Published latencies by platform, e.g. `4.27 / 2.73 / 1.92`.
        estimates: By SoC, estimated milliseconds by number of threads.
    """

    name: str
    family: str
    task: str
    summary: str
    params_m: float | None
    flops_m: float | None
    accuracy: float | None
    metric: str
    latencies: dict[str, str]
    estimates: dict[str, dict[int, float]]


def zoo_page() -> str:
    """Render the page of all networks of the zoo.

    Raises:
        ToolError: jinja2 is not installed.
    """
    socs = [load_soc(name) for name in _socs()]
    networks = list_networks(socs)
    return document(
        "zoo",
        script="zoo",
        title=f"{len(networks)} networks for the edge",
        networks=networks,
        socs=socs,
        platforms=[(each.value, _TITLES[each]) for each in Platform],
        charts=[(soc, chart(networks, soc)) for soc in socs],
        sources=sorted({source for spec in list_models() for source in _sources(spec.published)}),
    )


def zoo_picture() -> str:
    """Return the chart of the first SoC as an SVG file that suits light and dark pages."""
    soc = load_soc(FIRST_SOC)
    return chart(list_networks([soc]), soc, alone=True) + "\n"


def _socs() -> list[str]:
    """Return the names of the SoCs, the first one first."""
    return [FIRST_SOC, *(name for name in shipped_socs() if name != FIRST_SOC)]


def list_networks(socs: Sequence[SocModel]) -> list[Network]:
    """Return every network of the zoo with its published figures and its estimates for SoCs."""
    return [_network(spec, socs) for spec in list_models()]


_TITLES = {
    Platform.INTEL_CPU: "Intel CPU",
    Platform.V100: "V100 batch 1/4/8",
    Platform.SD855: "SD855 1/2/4 threads",
    Platform.SD865: "SD865 4 threads",
}


def _network(spec: ModelSpec, socs: Sequence[SocModel]) -> Network:
    published = spec.published or Published(source="")
    figure, metric = ACCURACY.get(spec.task, ACCURACY[CLASSIFICATION])
    latencies = {
        platform.value: " / ".join(
            f"{each.latency_ms:g}" for each in published.latencies if each.platform is platform
        )
        for platform in Platform
    }
    return Network(
        name=spec.name,
        family=spec.family,
        task=spec.task,
        summary=spec.summary,
        params_m=published.params_m,
        flops_m=published.flops_m,
        accuracy=getattr(published, figure),
        metric=metric,
        latencies=latencies,
        estimates={soc.name: _estimates(spec.name, soc) for soc in socs},
    )


def _estimates(name: str, soc: SocModel) -> dict[int, float]:
    count = known_count(name, Precision.FP32)
    if count is None:
        return {}
    known = [threads for threads in soc.threads() if str(threads) in count.millions]
    return {one.threads: one.latency_ms for one in estimate(soc, count, known).estimates}


def _sources(published: Published | None) -> set[str]:
    if published is None:
        return set()
    return {published.source, *(each.source for each in published.latencies)}


def chart(networks: Sequence[Network], soc: SocModel, *, alone: bool = False) -> str:
    """Draw accuracy against estimated latency with one thread as an `<svg>` element.

    The line joins the networks that no other beats in both.

    Args:
        networks: Networks, of which classifiers with both figures are drawn.
        soc: The SoC of the estimates.
        alone: Make a file of its own, which brings colours for light and dark pages.
    """
    dots = [
        Dot(name=one.name, group=one.family, ms=one.estimates[soc.name][1], accuracy=one.accuracy)
        for one in networks
        if one.task == CLASSIFICATION and one.accuracy is not None and 1 in one.estimates[soc.name]
    ]
    return draw_chart(
        dots,
        name=f"Accuracy against latency on {soc.title}",
        below=f"estimated milliseconds, {soc.title}, 1 thread, fp32",
        figure="ImageNet Top-1",
        alone=alone,
    )
