"""The runner protocol, and sessions with the processes that measure and predict."""
