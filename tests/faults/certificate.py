"""Certificates for the tests of TLS."""

import subprocess

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def certificate(directory, name, kind=EC, names=("IP:127.0.0.1",), more=()):
    """Makes a self-signed certificate for these names; its file and its key's."""
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    command = [
        *("openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", *kind),
        *("-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(names)}"),
        *("-keyout", key, "-out", cert), *more,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return cert, key
