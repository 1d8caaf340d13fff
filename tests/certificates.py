"""Certificates that tests make with the openssl program: an authority, and what it signs."""

import subprocess


def _openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class Authority:
    """An authority in a folder of its own; certificates are for 127.0.0.1 and localhost."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.pem"
        _openssl(
            folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", self.key.name, "-out", self.certificate.name, "-days", "30", "-subj", f"/CN={name}",
        )

    def sign(self, name, days=30, kind="ec"):
        """Makes a key and a certificate of that name; answers the paths of both. With negative days it has expired."""
        key, request, certificate = (self.folder / f"{name}.{ending}" for ending in ("key", "csr", "pem"))
        algorithm = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        _openssl(
            self.folder, "req", "-newkey", *algorithm, "-nodes", "-keyout", key.name, "-out", request.name,
            "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        )
        # A certificate that has expired: openssl takes dates in the past only in this form.
        span = ["-days", str(days)] if days > 0 else ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
        try:
            self._sign(request, certificate, span)
        except subprocess.CalledProcessError:
            self._sign(request, certificate, ["-days", str(days)])
        return certificate, key

    def _sign(self, request, certificate, span):
        _openssl(
            self.folder, "x509", "-req", "-in", request.name, "-CA", self.certificate.name, "-CAkey", self.key.name,
            "-CAcreateserial", "-out", certificate.name, "-copy_extensions", "copy", *span,
        )
