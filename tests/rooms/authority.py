"""A certificate authority for tests: real certificates, good and bad ones, made where needed."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.headend.session import TlsSettings

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
LOOPBACK = "127.0.0.1"
PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey
OTHER_NAME = "mqtt.elsewhere.example"
USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Pair:
    """A certificate and its key, each in its file."""

    def __init__(self, folder: Path, name: str, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.certificate_file = folder / f"{name}.pem"
        self.key_file = folder / f"{name}.key"


class Authority:
    """A CA in a folder of its own; `ca_file` is what others trust."""

    def __init__(self, folder: Path, name: str = "CA of a utility") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _named(name)
        self._key = new_key(SECP256R1())
        self._ski = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self.certificate = (
            self._begun(self._name, self._key, NOW - 3650 * DAY, NOW + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, SHA256())
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        host: str = LOOPBACK,
        begin: datetime = NOW - DAY,
        end: datetime = NOW + 365 * DAY,
        usages: tuple[x509.ObjectIdentifier, ...] = USAGES,
        key: PrivateKey | None = None,
    ) -> Pair:
        """A certificate for either side of a link, in files named after it; it may be anew."""
        key = key or new_key(SECP256R1())
        certificate = (
            self._begun(_named(name), key, begin, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .sign(self._key, SHA256())
        )
        pair = Pair(self._folder, name, certificate)
        pair.certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        pair.key_file.touch(mode=0o600)
        pair.key_file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return pair

    def revocations(self, *pairs: Pair, until: datetime = NOW + DAY) -> Path:
        """The list of what is revoked."""
        begun = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(min(NOW, until) - DAY)
            .next_update(until)
            .add_extension(self._aki(), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for pair in pairs:
            begun = begun.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(pair.certificate.serial_number)
                .revocation_date(NOW - DAY)
                .build()
            )
        path = self._folder / f"{len(list(self._folder.iterdir()))}.crl"
        path.write_bytes(begun.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        return path

    def settings(self, own: Pair | None = None, crl_file: Path | None = None) -> TlsSettings:
        """What trusts this CA and shows a pair."""
        return TlsSettings(
            ca_file=str(self.ca_file),
            certificate_file=None if own is None else str(own.certificate_file),
            key_file=None if own is None else str(own.key_file),
            crl_file=None if crl_file is None else str(crl_file),
        )

    def _begun(
        self, name: x509.Name, key: PrivateKey, begin: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(ski, critical=False)
            .add_extension(self._aki(), critical=False)
        )

    def _aki(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._ski)


def tls_listener(authority: Authority, own: Pair, *options: str) -> tuple[str, ...]:
    """Lines of a Mosquitto that wants a certificate of this CA and shows its own."""
    return (
        "allow_anonymous true",
        f"cafile {authority.ca_file}",
        f"certfile {own.certificate_file}",
        f"keyfile {own.key_file}",
        "require_certificate true",
        *options,
    )


def milliseconds(at: datetime) -> int:
    """An instant as the product has it."""
    return int(at.timestamp()) * 1000


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
