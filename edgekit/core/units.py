"""Display of values that are stored in ns and bytes."""

from __future__ import annotations

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def format_ms(ns: float) -> str:
    """Format nanoseconds as milliseconds with two decimals, like the published tables."""
    return f"{ns / NS_PER_MS:.2f}"


def format_bytes(count: int) -> str:
    """Format bytes as `812 B`, `9.6 kB` or `3.1 MB`, in decimal units as file managers and registries do."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def format_count(count: float) -> str:
    """Format instruction counts, parameters and FLOPs as `58.6 M`."""
    value = float(count)
    for unit in ("", " k", " M", " G"):
        if value < 1000 or unit == " G":
            return f"{value:.0f}" if not unit else f"{value:.4g}{unit}"
        value /= 1000
    raise AssertionError


def parse_celsius(text: str) -> float | None:
    """Parse `37C`, `37°C` or `37` as 37.0; None for other text and from 200 degrees on."""
    number = text.strip().removesuffix("C").removesuffix("°")
    try:
        degrees = float(number)
    except ValueError:
        return None
    return degrees if 0 < degrees < 200 else None


def parse_percentage(text: str) -> float | None:
    """Parse `3%` as 0.03; None where the sign is missing or the share is not between 0 and 10."""
    number, sign, rest = text.strip().partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        return None
    return share if sign and not rest and 0 < share < 10 else None
