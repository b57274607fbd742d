"""Downloads and Debian packages."""
