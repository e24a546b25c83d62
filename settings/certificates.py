"""The variables by which OpenSSL finds the certificates that it trusts."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path


def certificate_faults(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield "NAME: what is wrong" for a variable that names no certificates: every TLS connection would fail."""
    if file := environment.get("SSL_CERT_FILE"):
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            yield f"SSL_CERT_FILE: {file} has no certificates in PEM format"
        except OSError as error:
            yield f"SSL_CERT_FILE: cannot read {file}: {error.strerror}"
    folders = environment.get("SSL_CERT_DIR")
    if folders and not any(Path(folder).is_dir() for folder in folders.split(":")):
        yield f"SSL_CERT_DIR: {folders} is not a folder"
