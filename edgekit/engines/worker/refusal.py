"""Error that a request which cannot be served is answered with, and the exit code of each reason."""

EXIT_CODES = {
    "protocol": 10,
    "request": 11,
    "model_missing": 12,
    "model_invalid": 13,
    "hash_mismatch": 14,
    "shape": 15,
    "threads": 16,
    "cores": 17,
    "unsupported": 18,
    "runtime": 19,
    "io": 20,
    "memory": 21,
}


class RefusedError(Exception):
    """A request cannot be served; the worker answers with this error and goes on reading.

    Args:
        code: One of EXIT_CODES.
        message: Action, object and observation.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
