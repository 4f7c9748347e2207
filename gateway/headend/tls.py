"""TLS to the broker: who it is, who we are, and what went wrong in words.

Owns the files of a TLS link, the context that is made of them anew for each dial, and what is said
of two sides that do not trust each other. Must never let a broker through that its CA, its name or
its dates do not vouch for, nor ask anybody for a pass phrase.

TLS 1.2 or newer; the broker's name is checked (RFC 6125), and where a CA is given no other counts.
In TLS 1.3 the broker refuses a client only after the handshake (RFC 8446, section 4.4.2.4), where
paho drops the reason: the socket notes it on the way.
"""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.core.fact import CertificateEnd, Holder
from gateway.headend.session import DialFailed, TlsSettings
from gateway.headend.tls_words import Named, in_words

UNREADABLE = "Make it readable for this user, or name another"
NO_CERTIFICATES = "no certificate in PEM form in it"


class TlsFileError(Exception):
    """A file of the link that cannot be used: the setting, and in one line what and the mend."""

    def __init__(self, setting: str, path: str, problem: str, mend: str) -> None:
        super().__init__(f"{path}: {problem}. {mend}.")
        self.setting = setting


class Tls:
    """The TLS side of one dial: `load` before the client connects, `failure` when it did not.

    `wall_ms` is what this machine's calendar claims; it is said where a date is the trouble.
    """

    def __init__(
        self, settings: TlsSettings, *, host: str, wall_ms: Callable[[], int] | None = None
    ) -> None:
        self._settings = settings
        self._host = host
        self._wall_ms = wall_ms
        self._trouble: OSError | None = None
        self._own: x509.Certificate | None = None

    def load(self) -> tuple[ssl.SSLContext, tuple[CertificateEnd, ...]]:
        """Read the files: the context, and until when our own side is good. Raises `DialFailed`."""
        loading = _Loading(self._settings)
        for flaw in loading.flaws():
            raise DialFailed(f"{flaw.setting}: {flaw}", permanent=True) from flaw
        self._own = loading.own
        loading.context.sslsocket_class = _noting(self._note)
        return loading.context, tuple(loading.ends())

    def failure(self) -> DialFailed | None:
        """Why the two sides do not trust each other; None where TLS was not the trouble."""
        if self._trouble is None:
            return None
        named = Named(
            host=self._host,
            own=None if self._own is None else (_begin_ms(self._own), _end_ms(self._own)),
            wall_ms=None if self._wall_ms is None else self._wall_ms(),
        )
        detail, permanent = in_words(self._trouble, named)
        return DialFailed(detail, permanent=permanent)

    def _note(self, trouble: OSError) -> None:
        # What comes first is the reason; a broken pipe is what follows from it.
        if not isinstance(self._trouble, ssl.SSLError):
            self._trouble = trouble


def file_flaws(settings: TlsSettings) -> Iterator[TlsFileError]:
    """Everything about the files that would keep a dial from succeeding."""
    yield from _Loading(settings).flaws()


def broker_end(sock: ssl.SSLSocket) -> CertificateEnd | None:
    """Until when the certificate of a connected broker is good."""
    certificate: dict[str, Any] = sock.getpeercert() or {}
    if "notAfter" not in certificate:
        return None
    return CertificateEnd(whose=Holder.BROKER, at_ms=_ms_of(certificate["notAfter"]))


class _Loading:
    """The files of one dial, read one after the other."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self.context = ssl.create_default_context()
        self.own: x509.Certificate | None = None

    def flaws(self) -> Iterator[TlsFileError]:
        """Read all of them; what is wrong with each."""
        for step in (self._load_authorities, self._load_own, self._load_revoked):
            try:
                step()
            except TlsFileError as flaw:
                yield flaw

    def ends(self) -> Iterator[CertificateEnd]:
        """Until when what was read is good."""
        if self.own is not None:
            yield CertificateEnd(whose=Holder.GATEWAY, at_ms=_end_ms(self.own))
        if self._settings.ca_file is not None:
            # While one CA takes over from another both are there: the last one counts.
            last = max(_ms_of(str(ca["notAfter"])) for ca in self.context.get_ca_certs())
            yield CertificateEnd(whose=Holder.AUTHORITY, at_ms=last)

    def _load_authorities(self) -> None:
        path = self._settings.ca_file
        if path is not None:
            _read("ca_file", path)
            try:
                self.context = ssl.create_default_context(cafile=path)
            except ssl.SSLError as error:
                raise TlsFileError("ca_file", path, NO_CERTIFICATES, _COPY_CA) from error
            if not self.context.get_ca_certs():
                raise TlsFileError("ca_file", path, "no CA's certificate in it", _COPY_CA)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    def _load_own(self) -> None:
        path, key_path = self._settings.certificate_file, self._settings.key_file
        if path is None and key_path is None:
            return
        if path is None or key_path is None:
            given, other = ("certificate_file", "key_file")[:: 1 if path else -1]
            mend = f"The two go together: give {other} as well"
            raise TlsFileError(given, str(path or key_path), f"{other} is missing", mend)
        content = _read("certificate_file", path)
        try:
            own = x509.load_pem_x509_certificate(content)
        except ValueError as error:
            mend = "Put the certificate there that the CA gave for this gateway"
            raise TlsFileError("certificate_file", path, NO_CERTIFICATES, mend) from error
        _check_key(key_path, own, path)
        try:
            # Without a pass phrase OpenSSL would ask for one at the terminal.
            self.context.load_cert_chain(path, key_path, password="")
        except ssl.SSLError as error:
            why = f"OpenSSL does not take it ({error.reason})"
            raise TlsFileError("certificate_file", path, why, "Have it issued anew") from error
        self.own = own

    def _load_revoked(self) -> None:
        path = self._settings.crl_file
        if path is None:
            return
        _read("crl_file", path)
        known = self.context.cert_store_stats()["crl"]
        mend = "Put the CA's revocation list there, in PEM form"
        try:
            self.context.load_verify_locations(cafile=path)
        except ssl.SSLError as error:
            raise TlsFileError("crl_file", path, "no revocation list in it", mend) from error
        if self.context.cert_store_stats()["crl"] == known:
            raise TlsFileError("crl_file", path, "no revocation list in it", mend)
        self.context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


_COPY_CA = "Copy the certificate of the broker's CA there, in PEM form"


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TlsFileError(setting, path, str(error.strerror), UNREADABLE) from error


def _check_key(path: str, own: x509.Certificate, certificate_path: str) -> None:
    content = _read("key_file", path)
    mend = f"Put the key there that belongs to {certificate_path}, without a pass phrase"
    try:
        key = load_pem_private_key(content, None)
    except TypeError as error:
        raise TlsFileError("key_file", path, "it asks for a pass phrase", mend) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsFileError("key_file", path, "no private key in PEM form in it", mend) from error
    if key.public_key() != own.public_key():
        raise TlsFileError("key_file", path, "the key of another certificate", mend)


def _noting(note: Callable[[OSError], None]) -> type[ssl.SSLSocket]:
    """A TLS socket that says what broke it before whoever uses it looks away."""

    class Noting(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except OSError as error:
                note(error)
                self.close()
                raise

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            try:
                return super().recv(buflen, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                note(error)
                raise

        def send(self, data: Any, flags: int = 0) -> int:
            try:
                return super().send(data, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError:
                # The broker has hung up; its reason may lie here unread.
                self._look_for_a_reason()
                raise

        def _look_for_a_reason(self) -> None:
            try:
                self.recv(1)
            except OSError:
                return

    return Noting


def _begin_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_before_utc.timestamp() * 1000)


def _end_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def _ms_of(date: str) -> int:
    return ssl.cert_time_to_seconds(date) * 1000
