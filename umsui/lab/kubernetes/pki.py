"""The certificates of a Kubernetes cluster of the lab, made for one life of it, and the kubeconfigs that hold them."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs what the cluster trusts."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def new(cls, name: str) -> Authority:
        """An authority that nobody trusts yet."""
        key = _key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        builder = _builder(subject, subject, key, LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The authority whose ``ca.crt`` and ``ca.key`` are in ``folder``."""
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{folder}/ca.key is of another kind")
        return cls(x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes()), key)

    @property
    def pair(self) -> Pair:
        """Its own certificate and key."""
        return Pair(self.certificate.public_bytes(serialization.Encoding.PEM), _pem(self.key))

    def server(self, name: str, names: Sequence[str], addresses: Sequence[str]) -> Pair:
        """For a server that is reached by these DNS ``names`` and IP ``addresses``."""
        alternatives: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
        alternatives += [x509.IPAddress(ip_address(each)) for each in addresses]
        return self._sign(name, (), ExtendedKeyUsageOID.SERVER_AUTH, alternatives, LIFETIME)

    def client(self, user: str, groups: Sequence[str] = (), lifetime: datetime.timedelta = LIFETIME) -> Pair:
        """For Kubernetes' ``user`` in these ``groups``; with a negative ``lifetime`` it is over already."""
        return self._sign(user, groups, ExtendedKeyUsageOID.CLIENT_AUTH, (), lifetime)

    def _sign(
        self,
        name: str,
        groups: Sequence[str],
        usage: x509.ObjectIdentifier,
        alternatives: Sequence[x509.GeneralName],
        lifetime: datetime.timedelta,
    ) -> Pair:
        key = _key()
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, key, lifetime)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def signing_keys() -> tuple[bytes, bytes]:
    """A private and its public key, in PEM, for the tokens of service accounts."""
    key = _key()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _pem(key), public


def kubeconfig(cluster: str, server: str, authority: bytes, client: Pair) -> str:
    """A kubeconfig (JSON, which is YAML) whose only context is called as the ``cluster``."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    access = {"client-certificate-data": encoded(client.certificate), "client-key-data": encoded(client.key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority-data": encoded(authority)}}
        ],
        "users": [{"name": f"{cluster}-admin", "user": access}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": f"{cluster}-admin"}}],
        "current-context": cluster,
    }
    return json.dumps(document, indent=2) + "\n"


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    begins = min(now, now + lifetime) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(now + lifetime)
    )
